"""The commands that find out what a server can do."""

from __future__ import annotations

from attendant.commands.command import Parser, Run, client


def configure_loadtest(parser: Parser) -> Run:
    """``attendant loadtest``."""

    from attendant_loadtest.openloop.command import add_loadtest_arguments, loadtest

    add_loadtest_arguments(parser)
    return client(loadtest)


def configure_capacity(parser: Parser) -> Run:
    """``attendant capacity``."""

    from attendant_loadtest.capacity.command import add_capacity_arguments, capacity

    add_capacity_arguments(parser)
    return client(capacity)


def configure_simulate(parser: Parser) -> Run:
    """``attendant simulate``."""

    from attendant_loadtest.simulate.command import add_simulate_arguments, simulate

    add_simulate_arguments(parser)
    return client(simulate)
