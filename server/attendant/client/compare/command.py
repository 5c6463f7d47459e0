"""``attendant compare``: its arguments, and the order of what it asks."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from attendant.client.access import add_access_arguments
from attendant.client.compare.cases import BadCase, Case, read_cases
from attendant.client.compare.contestant import Contestant, Task, check_pair
from attendant.client.compare.page import page
from attendant.client.compare.quality import (
    Pair,
    answers_section,
    ask_all,
    encode_request,
    examples,
    labels_section,
    likelihood_section,
    vectors_section,
)
from attendant.client.compare.report import Report, Section
from attendant.client.compare.speed import speed_section
from attendant.client.compare.timing import take_turns, timed_encoding, timed_generation
from attendant.client.connection import CallFailed, Connection, access_of
from attendant.client.request import DEFAULT_SERVER, number

EXIT_OK, EXIT_USAGE = 0, 2


def add_compare_arguments(parser: ArgumentParser) -> None:
    """Flags of ``attendant compare``."""
    parser.add_argument("models", metavar="MODEL", nargs=2, help="two models of one task")
    parser.add_argument(
        "--file", metavar="FILE", required=True, help="prompts, a JSON object a line; - is standard input"
    )
    parser.add_argument(
        "--server",
        metavar="HOST:PORT",
        action="append",
        help=f"the server's gRPC address (default: {DEFAULT_SERVER}); given twice, each model has its own",
    )
    parser.add_argument("--timeout", metavar="SECONDS", type=float, help="deadline of each call (default: none)")
    parser.add_argument(
        "--raw", action="store_true", help="continue texts as they stand, even if a model has a chat template"
    )
    parser.add_argument("--max-tokens", metavar="N", type=_at_least_one, default=64, help="of an answer (default: 64)")
    parser.add_argument("--rounds", metavar="N", type=number(10_001), default=5, help="timed rounds (default: 5)")
    parser.add_argument("--concurrency", metavar="N", type=_at_least_one, default=1, help="calls at once (default: 1)")
    parser.add_argument("--price-per-hour", metavar="PRICE", type=_price, help="of a machine, for the cost of requests")
    parser.add_argument(
        "--show", metavar="N", type=number(2**32), default=5, help="answers that are shown (default: 5)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--html", metavar="FILE", help="also write a page that needs no network")
    add_access_arguments(parser)


def compare(args: Namespace) -> int:
    """Compare two models, and print what was found."""
    servers = args.server or [DEFAULT_SERVER]
    if len(servers) > 2:
        print(f"attendant: error: --server is given {len(servers)} times; allowed: once or twice", file=sys.stderr)
        return EXIT_USAGE
    try:
        cases = _read(args.file)
        access = access_of(args)
        with ExitStack() as stack:
            connections = [stack.enter_context(Connection(address, args.timeout, access=access)) for address in servers]
            report = _compare(args, _pair(args, servers, connections), cases)
    except (BadCase, UnicodeError) as error:
        print(f"attendant: error: {error}", file=sys.stderr)
        return EXIT_USAGE
    if args.html is not None:
        _write(args.html, page(report))
    print(json.dumps(report.dictionary(), ensure_ascii=False) if args.json else "\n".join(report.lines()))
    return EXIT_OK


def _pair(args: Namespace, servers: list[str], connections: list[Connection]) -> Pair:
    """The models, each on its server."""
    found, names = [], args.models
    for index, name in enumerate(names):
        which = min(index, len(servers) - 1)
        label = name if names[0] != names[1] else f"{name} on {servers[which]}"
        found.append(Contestant(label, connections[which], connections[which].get_model(name), args.raw))
    if names[0] == names[1] and len(set(servers)) < 2:
        raise BadCase(f"both models are {names[0]!r} of {servers[0]}; allowed: two models, or two servers")
    return found[0], found[1]


def _compare(args: Namespace, pair: Pair, cases: list[Case]) -> Report:
    task = check_pair(pair, cases)
    report = Report((pair[0].label, pair[1].label), (pair[0].precision, pair[1].precision), len(cases))
    if task == "generate":
        answers = ask_all(pair, cases, args.max_tokens, args.concurrency)
        report.sections.append(answers_section(cases, answers))
        if (given := likelihood_section(pair, cases)) is not None:
            report.sections.append(given)
        report.examples.extend(examples(cases, answers, args.show))
        lengths = [[answer.num_tokens for answer in side] for side in answers]
        asks = [timed_generation(each, cases, side) for each, side in zip(pair, lengths, strict=True)]
    else:
        report.sections.append(_encoded(task, pair, cases))
        asks = [timed_encoding(each, cases, partial(encode_request, each)) for each in pair]
    if args.rounds:
        take_turns(asks, min(len(cases), args.concurrency), 1, args.concurrency)  # nothing is first any more
        clocks = take_turns(asks, len(cases), args.rounds, args.concurrency)
        report.sections.append(speed_section(clocks, args.concurrency, args.price_per_hour))
    return report


def _encoded(task: Task, pair: Pair, cases: list[Case]) -> Section:
    return labels_section(pair, cases) if task == "classify" else vectors_section(pair, cases)


def _read(path: str) -> list[Case]:
    if path == "-":
        return read_cases(sys.stdin, "standard input")
    try:
        with open(path, encoding="utf-8") as stream:
            return read_cases(stream, path)
    except OSError as error:
        raise BadCase(f"{path}: cannot be read: {error.strerror or error}") from None


def _write(path: str, text: str) -> None:
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise CallFailed(f"{path}: cannot be written: {error.strerror or error}") from None


def _at_least_one(text: str) -> int:
    value = int(text)
    if not 1 <= value < 2**32:
        raise ArgumentTypeError(f"{text} is not at least 1")
    return value


def _price(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ArgumentTypeError(f"{text} is not greater than 0")
    return value


_at_least_one.__name__ = "number"  # as argparse puts it: invalid number value
_price.__name__ = "price"
