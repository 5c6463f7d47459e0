"""``attendant export``."""

from __future__ import annotations

import argparse

from attendant.commands.command import EXIT_USAGE, Failed, Parser, Run

EXPORT_MISSING = (
    "this command needs torch and the exporter's other packages, which serving does without; "
    "run: pip install torch==2.13.0 && pip install 'attendant[export]'"
)


def configure_export(parser: Parser) -> Run:
    """``attendant export``, where its packages are."""
    try:
        from attendant_export import cli
    except ModuleNotFoundError as error:
        raise Failed(f"{EXPORT_MISSING} ({error})", EXIT_USAGE) from None
    cli.add_arguments(parser)

    def run(args: argparse.Namespace) -> int:
        try:
            return int(cli.run(args))
        except ModuleNotFoundError as error:
            raise Failed(f"{EXPORT_MISSING} ({error})", EXIT_USAGE) from None

    return run
