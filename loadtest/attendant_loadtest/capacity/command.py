"""``attendant capacity``."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from attendant.client.connection import CallFailed

from attendant_loadtest.capacity.search import Search
from attendant_loadtest.openloop.arguments import (
    add_arrival_arguments,
    add_asking_arguments,
    arrivals_at,
    mix_of,
    objective_of,
)
from attendant_loadtest.openloop.command import EXIT_FAILED, EXIT_OK, EXIT_USAGE, asked_of, finish
from attendant_loadtest.openloop.loop import Target
from attendant_loadtest.openloop.measuring import Measured, Measuring
from attendant_loadtest.openloop.objective import Objective
from attendant_loadtest.openloop.report import Report
from attendant_loadtest.openloop.server_watch import ServerWatch
from attendant_loadtest.openloop.subject import Subject
from attendant_loadtest.schedule.arrivals import Constant
from attendant_loadtest.schedule.mix import Mix, plan
from attendant_loadtest.schedule.planned import BadSchedule

MOST_S = 300.0
FEWEST = 150
"""Requests of a run, if they come within :data:`LONGEST_S`: of a few, a percentile says little."""
SHORTEST_S, LONGEST_S = 12.0, 30.0
ALONE = 3
"""Requests one after another, to begin with."""
AFTER_S = 3.0
"""Added to a run for its last answers."""


def add_capacity_arguments(parser: ArgumentParser) -> None:
    """Flags of ``attendant capacity``."""
    parser.description = (
        "Find the highest rate at which first tokens and tokens come in time, by runs at rates between one that is met "
        "and one that is missed."
    )
    group = parser.add_argument_group("search")
    group.add_argument("--load", metavar="R", type=float, help="requests a second, to say how many servers they need")
    group.add_argument("--start", metavar="R", type=float, help="rate to begin with (default: by requests alone)")
    group.add_argument("--most-seconds", metavar="S", type=float, default=MOST_S, help="for all (default: %(default)g)")
    group.add_argument(
        "--run-seconds",
        metavar="S",
        type=float,
        help=f"of one run (default: as long as {FEWEST} requests take, {SHORTEST_S:g} to {LONGEST_S:g})",
    )
    group.add_argument(
        "--resolution", metavar="X", type=float, default=0.05, help="how near both rates are to be (default: 0.05)"
    )
    add_arrival_arguments(parser)
    add_asking_arguments(parser)


def capacity(args: Namespace) -> int:
    """Look for the rate, and print what was found."""
    try:
        objective = _checked(args)
        subject = Subject.of(args)
        found = asyncio.run(_find(args, subject, objective))
    except BadSchedule as error:
        print(f"attendant: error: {error}", file=sys.stderr)
        return EXIT_USAGE
    said = found.dictionary(args.load, subject.max_running)
    title = f"Capacity of {subject.name} at {subject.address} over {subject.protocol}"
    report = Report(title, asked_of(args), objective, found.runs, said)
    finish(args, report)
    if not args.json:
        print("\n" + "\n".join(said["said"]))
    return EXIT_OK if found.search.met_per_s else EXIT_FAILED


@dataclass(frozen=True, slots=True)
class Rated:
    """One run, as a search sees it."""

    measured: Measured

    @property
    def met(self) -> bool:
        """See Outcome."""
        return bool(self.measured.figures.met)

    @property
    def tells(self) -> bool:
        """See Outcome."""
        return not self.measured.figures.client.bottleneck


@dataclass(slots=True)
class Found:
    """What a search has found.

    Attributes:
        runs: all of them, in the order in which they were made, each with its rate.
    """

    search: Search
    objective: Objective
    runs: list[Measured] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    took_s: float = 0.0

    def dictionary(self, load_per_s: float | None, max_running: int | None) -> dict[str, Any]:
        """For machines, with ``said`` for people."""
        search, above = self.search, self._at(self.search.missed_per_s)
        saturated = above.server.saturates(max_running) if above and above.server else None
        per_s = self._offered(search.met_per_s)
        need = math.ceil(load_per_s / per_s - 1e-9) if load_per_s and per_s else None
        found: dict[str, Any] = {
            "per_s": per_s,
            "missed_per_s": self._offered(search.missed_per_s),
            "unfinished": search.why or None,
            "saturates": saturated,
            "load_per_s": load_per_s,
            "replicas": need,
            "seconds": self.took_s,
            "runs": len(self.runs),
        }
        return found | {"said": list(self._said(found, above))}

    def _offered(self, rate: float) -> float | None:
        """What really came at a rate, chance being what it is: the least of its runs; None of a rate without runs."""
        came = (run.figures.offered_per_s for run, at in zip(self.runs, self.rates, strict=True) if at == rate)
        return min(came, default=None)

    def _at(self, rate: float) -> Measured | None:
        """The last run at a rate."""
        return next((run for run, at in zip(self.runs[::-1], self.rates[::-1], strict=True) if at == rate), None)

    def _few(self) -> str:
        """What is to be said of runs in which one late request misses the objective; empty of longer ones."""
        fewest = min((run.figures.requests for run in self.runs if not run.figures.stopped), default=None)
        if fewest is None or fewest * (1 - self.objective.share) >= 1:
            return ""
        return (
            f"A run had {fewest} requests, of which none may be late: longer runs (--run-seconds) or a lower "
            "--percentile tell more."
        )

    def _said(self, found: dict[str, Any], above: Measured | None) -> Iterator[str]:
        best = self._at(self.search.met_per_s)
        if best is None:
            yield f"Capacity: none was found for {self.objective}."
        else:
            yield (
                f"Capacity: {found['per_s']:.3g} requests/s ({best.figures.tokens_per_s:.0f} tokens/s) "
                f"for {self.objective}."
            )
        if above is not None:
            figures = above.figures
            yield (
                f"At {found['missed_per_s']:.3g} requests/s {figures.first_misses or 0:.1%} of the first tokens and "
                f"{figures.itl_misses or 0:.1%} of the others were late{_cut(figures.stopped)}."
            )
            if found["saturates"] is None:
                yield "What saturates is not known: there is no page of metrics (--metrics)."
            else:
                what = "; ".join(found["saturates"]) or "nothing; the objective is missed before"
                yield f"What saturates there: {what}."
        if few := self._few():
            yield few
        if found["unfinished"]:
            yield f"The search ended early: {found['unfinished']}."
        if found["replicas"]:
            servers = found["replicas"]
            yield f"{found['load_per_s']:g} requests/s need {servers} such servers; one of {servers + 1} may be lost."
        yield f"{found['runs']} runs, {found['seconds']:.0f} s."


def _cut(stopped: bool) -> str:
    return " when the run was broken off" if stopped else ""


async def _find(args: Namespace, subject: Subject, objective: Objective) -> Found:
    mix, arrivals, begun = mix_of(args), arrivals_at(args), time.monotonic()

    def seconds(rate: float) -> float:
        return args.run_seconds or min(LONGEST_S, max(SHORTEST_S, FEWEST / rate))

    search = Search(
        1 + args.resolution, args.most_seconds, lambda rate: seconds(rate) + AFTER_S, lambda: time.monotonic() - begun
    )
    found = Found(search, objective)
    watch = ServerWatch(subject.metrics, subject.name)
    async with subject.target(args.seed) as target:
        first = args.start or await _alone(subject, target, watch, mix, args.seed)
        measuring = Measuring(target, watch, objective, gives_up=True)

        async def measure(rate: float, again: int) -> Rated:
            schedule = plan(arrivals(rate), mix, seconds(rate), args.seed + again)
            subject.check(schedule)
            name = f"{rate:.3g} requests/s" + (", asked otherwise" if again else "")
            measured = await measuring.measure(name, schedule, seconds(rate))
            found.runs.append(measured)
            found.rates.append(rate)
            await watch.settled()
            return Rated(measured)

        await search.run(measure, first)
    found.took_s = time.monotonic() - begun
    return found


async def _alone(subject: Subject, target: Target, watch: ServerWatch, mix: Mix, seed: int) -> float:
    """Requests a second, if each came when the one before had ended. Raises CallFailed: none was answered."""
    schedule = plan(Constant(1.0), mix, 0.5, seed)
    subject.check(schedule)
    times = []
    for _ in range(ALONE):
        measured = await Measuring(target, watch).measure("a request alone", schedule, 1.0)
        (sample,) = measured.samples
        if not sample.well or sample.e2e_s is None:
            raise CallFailed(f"a request alone was {sample.how}: {sample.error or 'without a word'}")
        times.append(sample.e2e_s)
    return 1 / max(min(times), 1e-3)


def _checked(args: Namespace) -> Objective:
    """Raises BadSchedule."""
    objective = objective_of(args)
    if objective is None:
        raise BadSchedule("there is no objective; allowed: --ttft, --itl, or both")
    for name in ("load", "start", "most_seconds", "run_seconds", "resolution"):
        value = getattr(args, name)
        if value is not None and not 0 < value < math.inf:
            raise BadSchedule(f"--{name.replace('_', '-')} is {value:g}; allowed: greater than 0")
    return objective
