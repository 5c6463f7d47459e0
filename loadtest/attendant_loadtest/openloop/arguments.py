"""Flags that say what is asked, where and how often."""

from __future__ import annotations

import argparse
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from attendant.client.access import add_access_arguments
from attendant.client.request import DEFAULT_SERVER

from attendant_loadtest.openloop.http_target import CHAT, ENDPOINTS
from attendant_loadtest.openloop.objective import Objective, seconds_of
from attendant_loadtest.schedule.arrivals import Arrivals, arrivals_of
from attendant_loadtest.schedule.lengths import ALLOWED, lengths_of
from attendant_loadtest.schedule.mix import Families, Mix
from attendant_loadtest.schedule.planned import BadSchedule

T = TypeVar("T")


def add_asking_arguments(parser: ArgumentParser) -> None:
    """What is asked of whom, how fast it is to be, and where that is written."""
    add_mix_arguments(parser)
    add_objective_arguments(parser)
    add_target_arguments(parser)
    add_output_arguments(parser)


def add_target_arguments(parser: ArgumentParser) -> None:
    """Where requests go."""
    group = parser.add_argument_group("server")
    where = group.add_mutually_exclusive_group()
    where.add_argument(
        "--server",
        metavar="HOST:PORT",
        default=DEFAULT_SERVER,
        help="gRPC address; requests are those of attendant.v1 (default: %(default)s)",
    )
    where.add_argument("--openai", metavar="URL", help="address of a server of OpenAI's API, as http://127.0.0.1:9090")
    group.add_argument("--model", default="", help="name; may be left out if only one continues prompts")
    group.add_argument(
        "--endpoint", choices=ENDPOINTS, default=CHAT, help="of OpenAI's API (default: %(default)s); others have none"
    )
    group.add_argument(
        "--metrics",
        metavar="URL",
        help="page of metrics, for what saturates (default: that of --openai, or port 9090 of --server)",
    )
    add_access_arguments(parser)


def add_mix_arguments(parser: ArgumentParser) -> None:
    """What requests are like. Lengths are in tokens."""
    group = parser.add_argument_group("requests", f"A length is {ALLOWED}.")
    add = group.add_argument
    add("--prompt", metavar="LENGTH", type=_typed(lengths_of), default="64", help="tokens of a prompt (default: 64)")
    add("--answer", metavar="LENGTH", type=_typed(lengths_of), default="64", help="tokens of an answer (default: 64)")
    add("--families", metavar="N", type=int, help="so many groups of prompts that begin alike (default: none do)")
    add("--prefix", metavar="LENGTH", type=_typed(lengths_of), help="how long what they share is; with --families")
    add("--skew", metavar="S", type=float, help="some families are asked more often than others: Zipf's exponent")
    add(
        "--priorities",
        metavar="P:WEIGHT,...",
        type=_typed(priorities_of),
        default={0: 1.0},
        help="as 0:9,10:1 (default: all 0)",
    )
    add("--deadline", metavar="TIME", type=_typed(seconds_of), help="of each request, as 4s (default: none)")
    add("--cancels", metavar="SHARE", type=float, default=0.0, help="of callers that break off (default: 0)")
    add("--seed", metavar="N", type=int, default=1, help="the same seed asks the same (default: 1)")


def add_arrival_arguments(parser: ArgumentParser) -> None:
    """How requests come."""
    parser.add_argument(
        "--arrivals",
        metavar="PROCESS",
        type=_typed(_named_arrivals),
        default="poisson",
        help="poisson, constant, or bursty:CV with a coefficient of variation of the gaps (default: poisson)",
    )


def add_objective_arguments(parser: ArgumentParser) -> None:
    """What is fast enough."""
    group = parser.add_argument_group("objective", "Times count from when a request was due, as 300ms or 1.5s.")
    group.add_argument("--ttft", metavar="TIME", type=_typed(seconds_of), help="to the first token")
    group.add_argument("--itl", metavar="TIME", type=_typed(seconds_of), help="between two tokens")
    group.add_argument(
        "--percentile", metavar="P", type=float, default=99.0, help="of requests, and of tokens, in time (default: 99)"
    )


def add_output_arguments(parser: ArgumentParser) -> None:
    """Where figures go."""
    group = parser.add_argument_group("output")
    group.add_argument("--json", action="store_true", help="print one JSON object in place of a table")
    group.add_argument("--html", metavar="FILE", type=Path, help="also write a page that needs no network")
    group.add_argument("--samples", metavar="FILE", type=Path, help="also write each request, an object of JSON a line")


def mix_of(args: Namespace) -> Mix:
    """What the flags of :func:`add_mix_arguments` ask for.

    Raises:
        BadSchedule
    """
    if args.families is None and (args.prefix is not None or args.skew is not None):
        raise BadSchedule("--prefix and --skew are of families; allowed: with --families")
    families = None
    if args.families is not None:
        if args.prefix is None:
            raise BadSchedule("--families needs to know how long what they share is; allowed: with --prefix")
        families = Families(args.families, args.prefix, args.skew or 0.0)
    return Mix(args.prompt, args.answer, families, args.priorities, args.deadline, args.cancels)


def objective_of(args: Namespace) -> Objective | None:
    """What the flags of :func:`add_objective_arguments` ask for; None: nothing.

    Raises:
        BadSchedule
    """
    if args.ttft is None and args.itl is None:
        return None
    return Objective(args.ttft, args.itl, args.percentile / 100)


def priorities_of(text: str) -> dict[int, float]:
    """Weights by priority, as ``0:9,10:1``.

    Raises:
        BadSchedule
    """
    found: dict[int, float] = {}
    try:
        for part in text.split(","):
            level, weight = part.split(":")
            found[int(level)] = float(weight)
    except ValueError:
        raise BadSchedule(f"priorities are {text!r}; allowed: PRIORITY:WEIGHT, with commas between them") from None
    return found


def rates_of(text: str) -> tuple[float, ...]:
    """Rates with commas between them.

    Raises:
        BadSchedule
    """
    try:
        rates = tuple(float(part) for part in text.split(","))
    except ValueError:
        rates = (-1.0,)
    if any(not 0 < rate < float("inf") for rate in rates):
        raise BadSchedule(f"rates are {text!r}; allowed: numbers greater than 0, with commas between them")
    return rates


def arrivals_at(args: Namespace) -> Callable[[float], Arrivals]:
    """The process of :func:`add_arrival_arguments`, at any rate."""
    return arrivals_of(args.arrivals)


def _named_arrivals(text: str) -> str:
    arrivals_of(text)
    return text


def _typed(read: Callable[[str], T]) -> Callable[[str], T]:
    """As a flag's type: what is wrong is told in the words of the error."""

    def value(text: str) -> Any:
        try:
            return read(text)
        except BadSchedule as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return value
