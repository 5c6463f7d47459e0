"""``attendant loadtest``."""

from __future__ import annotations

import asyncio
import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from attendant.client.connection import CallFailed

from attendant_loadtest.openloop.arguments import (
    add_arrival_arguments,
    add_asking_arguments,
    arrivals_at,
    mix_of,
    objective_of,
    rates_of,
)
from attendant_loadtest.openloop.measuring import Measured, Measuring
from attendant_loadtest.openloop.page import page
from attendant_loadtest.openloop.report import Report, lines
from attendant_loadtest.openloop.server_watch import ServerWatch
from attendant_loadtest.openloop.subject import Subject
from attendant_loadtest.schedule.arrivals import Ramp
from attendant_loadtest.schedule.mix import plan
from attendant_loadtest.schedule.planned import BadSchedule, Schedule, scaled, span_s
from attendant_loadtest.schedule.traces import FORMS, read_trace, write_native

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2
SECONDS = 30.0

Plans = list[tuple[str, Schedule, float]]
"""Each with a name and so many seconds."""


def add_loadtest_arguments(parser: ArgumentParser) -> None:
    """Flags of ``attendant loadtest``."""
    parser.description = (
        "Make requests at a rate that a slow server cannot slow, and say how long they took from when they were due."
    )
    group = parser.add_argument_group("arrivals")
    how = group.add_mutually_exclusive_group(required=True)
    how.add_argument("--rate", metavar="R[,R...]", help="requests a second; several are run one after another")
    how.add_argument("--ramp", metavar="FROM-TO", help="requests a second, from the first to the last moment")
    how.add_argument(
        "--trace", metavar="FORM:FILE", help=f"requests that were written down; FORM is {', '.join(FORMS)}"
    )
    add_arrival_arguments(parser)
    group.add_argument("--seconds", metavar="S", type=float, help=f"of arrivals at each rate (default: {SECONDS:g})")
    group.add_argument("--warmup", metavar="S", type=float, default=0.0, help="at the begin, not counted (default: 0)")
    group.add_argument("--speed", metavar="X", type=float, default=1.0, help="a trace X times as fast (default: 1)")
    group.add_argument("--scale-lengths", metavar="X", type=float, default=1.0, help="those of a trace (default: 1)")
    group.add_argument("--first", metavar="N", type=int, help="only so many requests of a trace")
    group.add_argument("--save", metavar="FILE", type=Path, help="write the schedule down, for --trace native:FILE")
    add_asking_arguments(parser)


def loadtest(args: Namespace) -> int:
    """Make the requests, and print what was found."""
    try:
        subject = Subject.of(args)
        plans = _plans(args)
        for _, schedule, _ in plans:
            subject.check(schedule)
        if args.save is not None:
            _save(args.save, plans)
        objective = objective_of(args)
        runs = asyncio.run(_measure(args, subject, plans))
    except BadSchedule as error:
        print(f"attendant: error: {error}", file=sys.stderr)
        return EXIT_USAGE
    title = f"{subject.name} at {subject.address} over {subject.protocol}"
    return finish(args, Report(title, asked_of(args), objective, runs))


def finish(args: Namespace, report: Report) -> int:
    """Print a report and write what was asked for; the exit code, which tells whether there are figures."""
    if args.json:
        print(json.dumps(report.dictionary()))
    else:
        print("\n".join(lines(report)))
    try:
        if args.html is not None:
            args.html.write_text(page(report), encoding="utf-8")
        if args.samples is not None:
            every = (json.loads(sample.line()) | {"run": each.name} for each in report.runs for sample in each.samples)
            args.samples.write_text("".join(json.dumps(each) + "\n" for each in every), encoding="utf-8")
    except OSError as error:
        raise CallFailed(f"{error.filename}: cannot be written: {error.strerror}") from None
    return EXIT_FAILED if any(each.figures.client.bottleneck for each in report.runs) else EXIT_OK


def asked_of(args: Namespace) -> dict[str, str]:
    """The flags that were given, or have a value: what it takes to ask the same again. No secrets."""
    hidden = {"command", "json", "html", "samples", "save", "auth_token", "token_file", "tls_key"}
    return {
        name: str(value)
        for name, value in sorted(vars(args).items())
        if name not in hidden and value not in (None, False, "") and not callable(value)
    }


async def _measure(args: Namespace, subject: Subject, plans: Plans) -> list[Measured]:
    async with subject.target(args.seed) as target:
        watch = ServerWatch(subject.metrics, subject.name)
        measuring = Measuring(target, watch, objective_of(args), args.warmup)
        return [await measuring.measure(*each) for each in plans]


def _plans(args: Namespace) -> Plans:
    """Raises BadSchedule."""
    if args.trace is None and (args.speed, args.scale_lengths, args.first) != (1.0, 1.0, None):
        raise BadSchedule("--speed, --scale-lengths and --first are of traces; allowed: with --trace")
    if args.trace is not None:
        return _of_trace(args)
    seconds = SECONDS if args.seconds is None else args.seconds
    if not 0 <= args.warmup < seconds < float("inf"):
        raise BadSchedule(f"{args.warmup:g} of {seconds:g} s are to warm up; allowed: 0 or more, and less than all")
    mix = mix_of(args)
    if args.ramp is not None:
        low, _, high = args.ramp.partition("-")
        try:
            ramp = Ramp(float(low), float(high))
        except BadSchedule:
            raise
        except ValueError:
            raise BadSchedule(f"the ramp is {args.ramp!r}; allowed: FROM-TO, as 1-20") from None
        return [(f"{args.ramp} requests/s", plan(ramp, mix, seconds, args.seed), seconds)]
    at = arrivals_at(args)
    return [(f"{rate:g} requests/s", plan(at(rate), mix, seconds, args.seed), seconds) for rate in rates_of(args.rate)]


def _of_trace(args: Namespace) -> Plans:
    form, colon, file = args.trace.partition(":")
    if form not in FORMS or not colon:
        raise BadSchedule(f"the trace is {args.trace!r}; allowed: FORM:FILE, with FORM one of {', '.join(FORMS)}")
    schedule = scaled(read_trace(form, Path(file), args.first), args.speed, args.scale_lengths)
    if args.seconds is not None:
        schedule = tuple(each for each in schedule if each.at_s < args.seconds)
    return [(Path(file).name, schedule, max(span_s(schedule), 1e-3))]


def _save(path: Path, plans: Plans) -> None:
    if len(plans) != 1:
        raise BadSchedule(f"--save with {len(plans)} rates; allowed: one")
    write_native(path, plans[0][1])
