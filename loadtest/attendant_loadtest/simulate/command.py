"""``attendant simulate``."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from attendant.core.errors import AttendantError

from attendant_loadtest.bench.processes import ServerFailed
from attendant_loadtest.openloop.arguments import (
    add_arrival_arguments,
    add_mix_arguments,
    add_objective_arguments,
    arrivals_at,
    mix_of,
    objective_of,
    rates_of,
)
from attendant_loadtest.schedule.planned import BadSchedule, Schedule, scaled
from attendant_loadtest.schedule.traces import FORMS, read_trace
from attendant_loadtest.simulate.balancers import BALANCERS
from attendant_loadtest.simulate.subject import BadSubject, Subject
from attendant_loadtest.simulate.tables import HEADS, aligned, cells, plain
from attendant_loadtest.simulate.whatif import Answer, Coming, Question, answers
from attendant_loadtest.simulate.world import Fleet

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2
CALIBRATION_S, SECONDS = 25.0, 60.0
LOADS = "0.3,0.5,0.7,0.8,0.9,1,1.1"
VALIDATED = "0.4,0.7,0.95"


def add_simulate_arguments(parser: ArgumentParser) -> None:
    """Flags of ``attendant simulate``."""
    parser.description = (
        "What many servers would do: the real scheduler on a clock that goes by what steps cost. First "
        "--calibrate BUNDLE measures that here and writes FILE; then questions are asked of FILE."
    )
    add = parser.add_argument
    add("file", metavar="FILE", type=Path, help="what steps cost, as JSON; --calibrate writes it")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--calibrate", metavar="BUNDLE", type=Path, help="measure what steps of a bundle cost, on this machine"
    )
    what.add_argument("--validate", metavar="BUNDLE", type=Path, help="ask a real server the same, and compare")
    add(
        "--seconds",
        metavar="S",
        type=float,
        help=f"of arrivals (default: {SECONDS:g}), or to calibrate ({CALIBRATION_S:g})",
    )
    add(
        "--served",
        metavar="ARGUMENT",
        action="append",
        default=[],
        help="one more of the server's, as --served=--engine.max-num-seqs=8",
    )
    _add_fleet_arguments(parser)
    _add_coming_arguments(parser)
    add_arrival_arguments(parser)
    add_mix_arguments(parser)
    add_objective_arguments(parser)
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print one JSON object in place of a table")
    output.add_argument(
        "--plot", metavar="FILE", type=Path, help="also draw times and goodput over the rate: svg, png or pdf"
    )


def _add_fleet_arguments(parser: ArgumentParser) -> None:
    fleet = parser.add_argument_group("servers", "Several values with commas: each combination is tried.")
    add = fleet.add_argument
    add("--replicas", metavar="N[,N...]", default="1", help="how many (default: 1)")
    add(
        "--balancer",
        metavar="NAME[,NAME...]",
        default="round-robin",
        help=f"{', '.join(BALANCERS)} (default: round-robin)",
    )
    add(
        "--affinity",
        metavar="on|off|off,on",
        default="off",
        help="prompts that begin alike go to one server (default: off)",
    )
    add("--budget", metavar="N[,N...]", help="tokens of a step, engine.max_num_batched_tokens (default: as calibrated)")
    add("--no-predict", action="store_true", help="as --no-admission.predict and --no-admission.end-hopeless")
    add("--no-prefix-cache", action="store_true", help="as --no-engine.prefix-cache")


def _add_coming_arguments(parser: ArgumentParser) -> None:
    coming = parser.add_argument_group("arrivals")
    how = coming.add_mutually_exclusive_group()
    how.add_argument("--rate", metavar="R[,R...]", help="requests a second, of all servers together")
    how.add_argument(
        "--load", metavar="X[,X...]", default=LOADS, help=f"shares of what the servers can do (default: {LOADS})"
    )
    how.add_argument(
        "--trace", metavar="FORM:FILE", help=f"requests that were written down; FORM is {', '.join(FORMS)}"
    )
    coming.add_argument(
        "--requests", metavar="N", type=int, help="so many at each rate, in place of --seconds; the first of a trace"
    )
    coming.add_argument("--speed", metavar="X", type=float, default=1.0, help="a trace X times as fast (default: 1)")


def simulate(args: Namespace) -> int:
    """Calibrate, validate, or answer a question."""
    try:
        if args.calibrate is not None:
            return _calibrate(args)
        if args.validate is not None:
            return _validate(args)
        return _answer(args)
    except (BadSchedule, BadSubject) as error:
        print(f"attendant: error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except (AttendantError, ServerFailed) as error:
        print(f"attendant: error: {error}", file=sys.stderr)
        return EXIT_FAILED


def _calibrate(args: Namespace) -> int:
    from attendant_loadtest.simulate.calibrating import calibrate

    subject = calibrate(args.calibrate, args.seconds or CALIBRATION_S, args.served, args.seed, _tell)
    subject.save(args.file)
    print(subject.costs.told())
    return EXIT_OK


def _validate(args: Namespace) -> int:
    from attendant_loadtest.simulate.validating import compare, plain, table

    subject, mix = Subject.load(args.file), mix_of(args)
    loads = rates_of(args.load if args.load != LOADS else VALIDATED)
    rows = compare(
        args.validate, subject, mix, arrivals_at(args), loads, args.seconds or SECONDS, args.seed, args.served, _tell
    )
    print(json.dumps(plain(rows)) if args.json else table(rows))
    return EXIT_OK if all(row.holds for row in rows) else EXIT_FAILED


def _answer(args: Namespace) -> int:
    subject, objective, question = Subject.load(args.file), objective_of(args), question_of(args)
    fleet = Fleet(predict=not args.no_predict, prefix_cache=not args.no_prefix_cache)
    if not args.json:
        print(aligned(HEADS))
    found: list[Answer] = []
    for answer in answers(subject, _coming(args), question, fleet, objective):
        found.append(answer)
        if not args.json:
            print(aligned(cells(answer)), flush=True)
    if args.json:
        print(json.dumps({"model": subject.model, "answers": [plain(each) for each in found]}))
    if args.plot is not None:
        from attendant_loadtest.simulate.pictures import draw

        draw(found, objective, f"{subject.model}, in thought", args.plot)
    return EXIT_OK


def question_of(args: Namespace) -> Question:
    """What is varied.

    Raises:
        BadSchedule
    """
    balancers = tuple(args.balancer.split(","))
    if unknown := [name for name in balancers if name not in BALANCERS]:
        raise BadSchedule(f"the balancer is {unknown[0]!r}; allowed: {', '.join(BALANCERS)}")
    switches = {"on": True, "off": False}
    if unknown := [word for word in args.affinity.split(",") if word not in switches]:
        raise BadSchedule(f"affinity is {unknown[0]!r}; allowed: on, off, or both with a comma")
    return Question(
        replicas=_counts("--replicas", args.replicas),
        budgets=_counts("--budget", args.budget) if args.budget else (None,),
        balancers=balancers,
        affinity=tuple(switches[word] for word in args.affinity.split(",")),
        rates=rates_of(args.rate) if args.rate else (),
        loads=rates_of(args.load),
    )


def _coming(args: Namespace) -> Coming | Schedule:
    if args.requests is not None and args.requests < 1:
        raise BadSchedule(f"--requests {args.requests}; allowed: 1 or more")
    if args.trace is None:
        if args.speed != 1.0:
            raise BadSchedule("--speed is of traces; allowed: with --trace")
        return Coming(mix_of(args), arrivals_at(args), args.seconds or SECONDS, args.requests, args.seed)
    form, colon, file = args.trace.partition(":")
    if form not in FORMS or not colon:
        raise BadSchedule(f"the trace is {args.trace!r}; allowed: FORM:FILE, with FORM one of {', '.join(FORMS)}")
    return scaled(read_trace(form, Path(file), args.requests), args.speed)


def _counts(name: str, text: str) -> tuple[int, ...]:
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        found = (0,)
    if min(found) < 1:
        raise BadSchedule(f"{name} is {text!r}; allowed: whole numbers from 1 on, with commas between them")
    return found


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
