"""The commands that find out what a server can do."""

from __future__ import annotations

from attendant.commands.command import Parser, Run, client


def configure_loadtest(parser: Parser) -> Run:
    """``attendant loadtest``."""

    from attendant_loadtest.openloop.command import add_loadtest_arguments, loadtest

    add_loadtest_arguments(parser)
    return client(loadtest)
