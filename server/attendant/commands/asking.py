"""The commands that ask a server something."""

from __future__ import annotations

from collections.abc import Callable

from attendant.commands.command import Parser, Run, client


def configure_generate(parser: Parser) -> Run:
    """``attendant generate``."""

    from attendant.client.commands import add_generate_arguments, generate

    add_generate_arguments(parser)
    return client(generate)


def configure_estimate(parser: Parser) -> Run:
    """``attendant estimate``."""

    from attendant.client.estimating import add_estimate_arguments, estimate

    add_estimate_arguments(parser)
    return client(estimate)


def configure_chat(parser: Parser) -> Run:
    """``attendant chat``."""

    from attendant.client.chat import add_chat_arguments, chat

    add_chat_arguments(parser)
    return client(chat)


def configure_translate(parser: Parser) -> Run:
    """``attendant translate``."""

    from attendant.client.translation import add_translate_arguments, translate

    add_translate_arguments(parser)
    return client(translate)


def configure_comparing(name: str) -> Callable[[Parser], Run]:
    """Those that hold answers against others."""

    def configure(parser: Parser) -> Run:
        from attendant.client.comparing import COMMANDS as COMMANDS_ON_ANSWERS

        add_arguments, command = COMMANDS_ON_ANSWERS[name]
        add_arguments(parser)
        return client(command)

    return configure


def configure_models(parser: Parser) -> Run:
    """``attendant models``."""

    from attendant.client.commands import add_models_arguments, models

    add_models_arguments(parser)
    return client(models)


def configure_health(parser: Parser) -> Run:
    """``attendant health``."""

    from attendant.client.health import add_health_arguments, health

    add_health_arguments(parser)
    return client(health)


def configure_repository(name: str) -> Callable[[Parser], Run]:
    """``attendant load`` and ``attendant unload``."""

    def configure(parser: Parser) -> Run:
        from attendant.client.repository import COMMANDS as COMMANDS_ON_REPOSITORIES

        add_arguments, command = COMMANDS_ON_REPOSITORIES[name]
        add_arguments(parser)
        return client(command)

    return configure


def configure_encoding(name: str) -> Callable[[Parser], Run]:
    """Those that ask models which encode."""

    def configure(parser: Parser) -> Run:
        from attendant.client.encoding import COMMANDS as COMMANDS_ON_ENCODERS

        add_arguments, command = COMMANDS_ON_ENCODERS[name]
        add_arguments(parser)
        return client(command)

    return configure


def configure_transcribe(parser: Parser) -> Run:
    """``attendant transcribe``."""

    from attendant.client.encoding_arguments import add_transcribe_arguments
    from attendant.client.speech import transcribe

    add_transcribe_arguments(parser)
    return client(transcribe)


def configure_explain(parser: Parser) -> Run:
    """``attendant explain``."""

    from attendant.client.explain.arguments import add_explain_arguments
    from attendant.client.explain.command import explain

    add_explain_arguments(parser)
    return client(explain)
