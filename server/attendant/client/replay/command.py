"""``attendant replay``: its arguments, a few calls at a time, and its exit code."""

from __future__ import annotations

import json
import math
import os
import stat
import sys
from argparse import ArgumentParser, Namespace
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from attendant_proto.v1 import receipt_pb2

from attendant.client.connection import CallFailed, Connection
from attendant.client.replay.again import make_again, model_of
from attendant.client.replay.report import Tally, dictionary, lines
from attendant.client.request import add_server_arguments, number
from attendant.traffic.calls import BadLine, KeptCall

EXIT_SAME, EXIT_FAILED, EXIT_USAGE, EXIT_CHANGED = 0, 1, 2, 3

T = TypeVar("T")


def add_replay_arguments(parser: ArgumentParser) -> None:
    """Flags of ``attendant replay``."""
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="calls that --save or record.file of a server kept; - is standard input",
    )
    parser.add_argument("--against", metavar="MODEL", default="", help="ask this model, not the one that answered")
    parser.add_argument(
        "--concurrency", metavar="N", type=number(1025, least=1), default=4, help="calls at once (default: 4)"
    )
    parser.add_argument("--limit", metavar="N", type=number(2**32, least=1), help="only the first N calls")
    parser.add_argument(
        "--show", metavar="N", type=number(2**32), default=10, help="changed answers that are shown (default: 10)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_server_arguments(parser)


def replay(args: Namespace) -> int:
    """Make answers again, and tell what changed.

    Returns:
        0: every answer is equal to the bit. 3: some changed. 1: some could not be made again. 2: a file is of no use.
    """
    tally = Tally(args.show)
    try:
        calls = islice(_calls(args.files), args.limit)
        with (
            ThreadPoolExecutor(args.concurrency) as pool,
            Connection.of(args) as connection,
        ):
            makers = _Makers(connection)
            waiting = (
                pool.submit(make_again, connection, place, call, args.against)
                for place, call in _known(calls, makers, args.against)
            )
            for outcome in in_order(waiting, args.concurrency):
                tally.add(outcome, makers.of(outcome.model))
    except OSError as error:
        print(f"attendant: error: {error.filename}: cannot be read: {error.strerror}", file=sys.stderr)
        return EXIT_USAGE
    except BadLine as error:
        print(f"attendant: error: {error}", file=sys.stderr)
        return EXIT_USAGE
    if not tally.num_compared and not tally.num_failed:
        print("attendant: error: there are no calls in it", file=sys.stderr)
        return EXIT_USAGE
    if args.json:
        print(json.dumps(dictionary(tally), ensure_ascii=False))
    else:
        print("\n".join(lines(tally)))
    return EXIT_FAILED if tally.num_failed else EXIT_CHANGED if tally.num_changed else EXIT_SAME


def in_order(waiting: Iterable[Future[T]], most: int) -> Iterator[T]:
    """Results in the order of their begin, of which at most ``most`` are under way."""
    running: deque[Future[T]] = deque()
    for future in waiting:
        running.append(future)
        if len(running) >= most:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


class _Makers:
    """What makes the answers of each model now, asked once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[str, receipt_pb2.Maker | None] = {}

    def of(self, model: str) -> receipt_pb2.Maker | None:
        """None if the server has no such model, or does not tell."""
        if model not in self._known:
            try:
                found = self._connection.get_model(model)
                self._known[model] = found.maker if found.HasField("maker") else None
            except CallFailed:
                self._known[model] = None
        return self._known[model]


def _known(calls: Iterable[tuple[str, KeptCall]], makers: _Makers, against: str) -> Iterator[tuple[str, KeptCall]]:
    """The calls; what makes answers is asked before the first call of each model."""
    for place, call in calls:
        makers.of(against or model_of(call))
        yield place, call


def _calls(paths: Iterable[str]) -> Iterator[tuple[str, KeptCall]]:
    """The calls of files, each with its place.

    Raises:
        BadLine: a line that is none, with its place.
        OSError: a file that cannot be read.
    """
    for path in paths:
        name = "standard input" if path == "-" else path
        for index, line in enumerate(_lines(path), start=1):
            place = f"{name}:{index}"
            try:
                if line.strip():
                    yield place, KeptCall.parse(line.decode())
            except UnicodeDecodeError as error:
                raise BadLine(f"{place}: is not UTF-8: {error.reason}") from None
            except BadLine as error:
                raise BadLine(f"{place}: {error}") from None


def _lines(path: str) -> Iterator[bytes]:
    """Those that a file has by now: a server that records what is asked of it adds the calls of the replay, too."""
    if path == "-":
        yield from sys.stdin.buffer
        return
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        left = status.st_size if stat.S_ISREG(status.st_mode) else math.inf
        for line in file:
            if left <= 0:
                return
            left -= len(line)
            yield line
