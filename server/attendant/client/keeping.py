"""What a command keeps of its calls: receipts on the terminal, and calls with their answers in a file."""

from __future__ import annotations

import os
import sys
import threading
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from typing import Any

from attendant_proto.v1 import receipt_pb2 as pb

from attendant.traffic.calls import KeptCall


class CannotKeep(Exception):
    """The file cannot be written."""


class Keeping:
    """Takes the calls of one command, from any thread.

    Args:
        shown: print receipts on standard error.
        path: of a file that gets a line for each call; only its owner can read it. None: none does.
    """

    def __init__(self, *, shown: bool, path: str | None) -> None:
        self._shown = shown
        self._path = path
        self._lock = threading.Lock()

    @classmethod
    def of(cls, args: Namespace) -> Keeping | None:
        """As the arguments ask for it; None if they do not."""
        path = getattr(args, "save", None)
        shown = getattr(args, "receipt", False)
        return cls(shown=shown, path=path) if shown or path else None

    def keep(self, request: Any, responses: Iterable[Any]) -> None:
        """Take a call that was answered.

        Raises:
            CannotKeep: the file cannot be written.
        """
        call = KeptCall.of(request, responses)
        if self._path is not None:
            with self._lock:
                _append(self._path, call.line())
        if self._shown:
            for receipt in call.receipts:
                print("\n".join(receipt_lines(receipt)), file=sys.stderr)


def add_keeping_arguments(parser: ArgumentParser) -> None:
    """Flags of commands whose calls can be kept."""
    parser.add_argument("--receipt", action="store_true", help="print on standard error what the answer was made of")
    parser.add_argument(
        "--save", metavar="FILE", help="add request, answer and receipt to this file, for `attendant replay`"
    )


def receipt_lines(receipt: pb.Receipt) -> list[str]:
    """A receipt for people."""
    if not receipt.digest:
        return ["no receipt: the server is older than receipts"]
    maker = receipt.maker
    libraries = ", ".join(f"{name} {version}" for name, version in sorted(maker.libraries.items()))
    seed = [("seed", str(receipt.seed))] if receipt.HasField("seed") else []
    rows = [
        ("model", f"{maker.model} {maker.version}, {maker.precision}"),
        ("bundle", maker.bundle),
        ("server", f"attendant {maker.server}, {libraries}"),
        ("processor", f"{maker.processor}; {maker.threads} threads"),
        ("call", receipt.call),
        ("settings", receipt.settings),
        *seed,
        ("input", receipt.input),
        ("output", receipt.output),
    ]
    return [f"receipt   {receipt.digest}", *(f"  {name:<9} {value}" for name, value in rows)]


def _append(path: str, line: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with open(descriptor, "a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError as error:
        raise CannotKeep(f"{path}: cannot be written: {error.strerror or error}") from None
