"""What all commands share: their exit codes, what one is, and how one fails."""

from __future__ import annotations

import argparse
from collections.abc import Callable

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

Parser = argparse.ArgumentParser
Run = Callable[[argparse.Namespace], int]


class Failed(Exception):
    """A command's one line of regret."""

    def __init__(self, message: object, code: int) -> None:
        super().__init__(str(message))
        self.code = code


def client(command: Run) -> Run:
    """A command that calls a server: one that fails says why in one line."""
    from attendant.client.connection import CallFailed

    def run(args: argparse.Namespace) -> int:
        try:
            return command(args)
        except CallFailed as failure:
            raise Failed(failure, EXIT_FAILED) from None

    return run
