"""Is a simulation right? The same requests, in thought and to a real server, and both side by side."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from attendant.bundle import read_manifest
from attendant.core.pace import StepWork

from attendant_loadtest.openloop import figures as openloop
from attendant_loadtest.openloop import loop
from attendant_loadtest.openloop.grpc_target import connected
from attendant_loadtest.openloop.loop import Run
from attendant_loadtest.openloop.samples import ANSWERED
from attendant_loadtest.overload.servers import Server
from attendant_loadtest.schedule.arrivals import Arrivals
from attendant_loadtest.schedule.mix import Mix, plan
from attendant_loadtest.schedule.planned import Schedule
from attendant_loadtest.simulate import outcomes
from attendant_loadtest.simulate.fitting import Vector
from attendant_loadtest.simulate.recorded import recorded
from attendant_loadtest.simulate.subject import Subject
from attendant_loadtest.simulate.whatif import capacity_per_s
from attendant_loadtest.simulate.world import Fleet, run

TOLERANCE = 0.15
"""What a simulated figure may be off, as a share of the real one."""


@dataclass(frozen=True, slots=True)
class Both:
    """A figure in thought and for real."""

    thought: float
    real: float

    @property
    def off(self) -> float:
        """By what share the thought is too large, or too small."""
        return self.thought / self.real - 1 if self.real else 0.0


@dataclass(frozen=True, slots=True)
class Compared:
    """One load.

    Attributes:
        load: as a share of what can be done.
        bottleneck: why the real figures are the client's and not the server's; empty if they are the server's.
        failed: real requests that were not answered.
        first50, first99, each50, end50: seconds to the first token, of each request the mean between two, and to the
            end, by percentile.
        per_s: answers a second. tokens_per_s: their tokens.
        slow: how many times as long as in the calibration the server's steps took.
        first50_then, each50_then: the same times, in thought on a machine that is so slow.
    """

    load: float
    rate_per_s: float
    requests: int
    bottleneck: str
    failed: int
    first50: Both
    first99: Both
    each50: Both
    end50: Both
    per_s: Both
    tokens_per_s: Both
    slow: float
    first50_then: Both
    each50_then: Both

    @property
    def holds(self) -> bool:
        """Whether the middle first token and the throughput are as they were foreseen."""
        return all(abs(both.off) <= TOLERANCE for both in (self.first50, self.per_s, self.tokens_per_s))


def compare(  # noqa: PLR0913 - what is compared, each by name
    bundle: Path,
    subject: Subject,
    mix: Mix,
    arrivals: Callable[[float], Arrivals],
    loads: Sequence[float],
    seconds: float,
    seed: int = 1,
    served: Sequence[str] = (),
    tell: Callable[[str], None] = lambda line: None,
) -> list[Compared]:
    """Let the same requests come in both worlds, for so many seconds at each load.

    Raises:
        ServerFailed: the bundle cannot be served.
    """
    per_s = capacity_per_s(subject, mix, seed)
    tell(f"{subject.model}: {per_s:.1f} requests a second can be done, in thought")
    vocab_size = read_manifest(bundle).vocab_size
    found = []
    runs: list[_Run] = []
    with recorded([bundle, "--log-level", "warning", *served]) as (server, steps):
        for number, load in enumerate(loads):
            schedule = plan(arrivals(load * per_s), mix, seconds, seed + number)
            begin_s = time.monotonic()
            seen = asyncio.run(_offer(server, vocab_size, seed + number, schedule))
            runs.append(_Run(load, schedule, seen, begin_s, time.monotonic()))
            tell(f"{load:.0%} of that: done")
    for each in runs:
        slow = slowness(subject, steps[(steps[:, -1] >= each.begin_s) & (steps[:, -1] <= each.end_s), :-1])
        found.append(_compared(each, each.load * per_s, subject, slow))
        tell(line(found[-1]))
    return found


class _Run(NamedTuple):
    load: float
    schedule: Schedule
    seen: Run
    begin_s: float
    end_s: float


def slowness(subject: Subject, steps: Vector) -> float:
    """How many times as long as their costs say these steps took, all together: how slow the machine was just then.

    Args:
        steps: [num_steps, 6] float64, as :func:`attendant_loadtest.simulate.fitting.fit` has them.
    """
    costs = subject.costs
    whole, some, rows, context, fed = (steps[:, column] for column in (0, 1, 2, 3, 4))
    told = sum(costs.pace.seconds(StepWork(*work)) for work in zip(whole, some, rows, context, fed, strict=True))
    return float(steps[:, -1].sum() / max(told * np.mean(costs.spread), 1e-9))


async def _offer(server: Server, vocab_size: int, seed: int, schedule: Schedule) -> Run:
    async with connected(server.grpc, "", vocab_size, seed) as target:
        warm = replace(schedule[0], at_s=0.0)
        await loop.run((warm,) * 8, target)  # the connections, and what is made when it is first wanted
        return await loop.run(schedule, target)


def _compared(each: _Run, rate_per_s: float, subject: Subject, slow: float) -> Compared:
    load, schedule = each.load, each.schedule
    told = outcomes.figures(run(subject, schedule, Fleet()), schedule, 1)
    then = outcomes.figures(run(subject.slower(slow), schedule, Fleet()), schedule, 1)
    real = openloop.figures(each.seen, rate_per_s)
    first, gaps, end = real.ttft, real.mean_itl, real.e2e
    assert first is not None
    assert gaps is not None
    assert end is not None
    return Compared(
        load=load,
        rate_per_s=rate_per_s,
        requests=len(schedule),
        bottleneck=real.client.bottleneck,
        failed=len(schedule) - real.outcomes.get(ANSWERED, 0),
        first50=Both(told.first_s["50"], first.by_percentile[50] / 1e3),
        first99=Both(told.first_s["99"], first.by_percentile[99] / 1e3),
        each50=Both(told.each_s["50"], gaps.by_percentile[50] / 1e3),
        end50=Both(told.end_s["50"], end.by_percentile[50] / 1e3),
        per_s=Both(told.per_s, real.completed_per_s),
        tokens_per_s=Both(told.tokens_per_s, real.tokens_per_s),
        slow=slow,
        first50_then=Both(then.first_s["50"], first.by_percentile[50] / 1e3),
        each50_then=Both(then.each_s["50"], gaps.by_percentile[50] / 1e3),
    )


HEADS = (
    "load",
    "requests/s",
    "TTFT p50",
    "off",
    "TTFT p99",
    "token p50",
    "off",
    "answers/s",
    "off",
    "steps took",
    "TTFT p50 so slow",
    "off",
)


def cells(row: Compared) -> tuple[str, ...]:
    """A row of the table: thought / real."""

    def ms(both: Both) -> str:
        return f"{both.thought * 1e3:.1f} / {both.real * 1e3:.1f} ms"

    return (
        f"{row.load:.0%}",
        f"{row.rate_per_s:.1f}",
        ms(row.first50),
        f"{row.first50.off:+.0%}",
        ms(row.first99),
        ms(row.each50),
        f"{row.each50.off:+.0%}",
        f"{row.per_s.thought:.1f} / {row.per_s.real:.1f}",
        f"{row.per_s.off:+.1%}",
        f"{row.slow:.2f}x",
        ms(row.first50_then),
        f"{row.first50_then.off:+.0%}",
    )


def line(row: Compared) -> str:
    """A row, to be read at once."""
    said = ", ".join(f"{head} {cell}" for head, cell in zip(HEADS, cells(row), strict=True))
    return said + (f"; {row.failed} failed" if row.failed else "") + (f"; {row.bottleneck}" if row.bottleneck else "")


def table(rows: Sequence[Compared]) -> str:
    """Markdown."""
    lines = [HEADS, ["---:"] * len(HEADS), *map(cells, rows)]
    return "\n".join(f"| {' | '.join(each)} |" for each in lines)


def plain(rows: Sequence[Compared]) -> list[dict[str, object]]:
    """For JSON."""
    return [{**asdict(row), "holds": row.holds} for row in rows]
