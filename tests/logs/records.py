"""Records of a log, and requests that have ended, for tests of what is written of them."""

from __future__ import annotations

import logging
from typing import Any

from attendant.core.context import CallContext
from attendant.core.request import Timings, Usage
from attendant.core.stages import CallEnd
from attendant.core.tally import Tally
from attendant.logs.lines import TALLY


class Taken:
    """A log that keeps what has ended."""

    def __init__(self) -> None:
        self.tallies: list[Tally] = []

    def begin(self, context: CallContext, protocol: str, method: str) -> CallContext:
        raise AssertionError("nobody asks this one")

    def take(self, tally: Tally) -> None:
        self.tallies.append(tally)


def tally_of(context: CallContext, log: Taken | None = None, **options: Any) -> Tally:
    """The tally of a request that came now."""
    return Tally(log or Taken(), context.request_id, context.arrival_ns, "grpc", "a.B/C", **options)


def answered(model: str = "demo", **context: Any) -> Tally:
    """A request that had an answer of five tokens."""
    call = CallContext.new(**context)
    tally = tally_of(call)
    tally.asks(model, 0)
    tally.runs_on("demo", "1")
    tally.begins_sequence()
    tally.ends_sequence(0, call.arrival_ns, Usage(3, 1, 5), Timings(10**6, first_token_ns=2 * 10**6), "stop")
    tally.close(call, CallEnd("OK"))
    return tally


def record_of(tally: Tally) -> logging.LogRecord:
    """What the log gets of a request."""
    record = logging.LogRecord("attendant.requests", logging.INFO, "", 0, "request", None, None)
    record.__dict__[TALLY] = tally
    return record


def record(text: str, *arguments: Any, error: BaseException | None = None) -> logging.LogRecord:
    """What the log gets of anything else."""
    failure = None if error is None else (type(error), error, error.__traceback__)
    return logging.LogRecord("attendant.tests", logging.WARNING, "", 0, text, arguments, failure)
