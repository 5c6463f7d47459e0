"""Is a simulation right? The same requests, in thought and to a real server, and both side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from attendant.bundle import read_manifest

from attendant_loadtest.openloop import figures as openloop
from attendant_loadtest.openloop import loop
from attendant_loadtest.openloop.grpc_target import connected
from attendant_loadtest.openloop.loop import Run
from attendant_loadtest.openloop.samples import ANSWERED
from attendant_loadtest.overload.servers import Server, serving
from attendant_loadtest.schedule.arrivals import Arrivals
from attendant_loadtest.schedule.mix import Mix, plan
from attendant_loadtest.schedule.planned import Schedule
from attendant_loadtest.simulate import outcomes
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
    with serving([bundle, "--log-level", "warning", *served]) as server:
        for number, load in enumerate(loads):
            schedule = plan(arrivals(load * per_s), mix, seconds, seed + number)
            seen = asyncio.run(_offer(server, vocab_size, seed + number, schedule))
            found.append(_compared(load, load * per_s, subject, schedule, seen))
            tell(line(found[-1]))
    return found


async def _offer(server: Server, vocab_size: int, seed: int, schedule: Schedule) -> Run:
    async with connected(server.grpc, "", vocab_size, seed) as target:
        warm = replace(schedule[0], at_s=0.0)
        await loop.run((warm,) * 8, target)  # the connections, and what is made when it is first wanted
        return await loop.run(schedule, target)


def _compared(load: float, rate_per_s: float, subject: Subject, schedule: Schedule, seen: Run) -> Compared:
    told = outcomes.figures(run(subject, schedule, Fleet()), schedule, 1)
    real = openloop.figures(seen, rate_per_s)
    first, each, end = real.ttft, real.mean_itl, real.e2e
    assert first is not None
    assert each is not None
    assert end is not None
    return Compared(
        load=load,
        rate_per_s=rate_per_s,
        requests=len(schedule),
        bottleneck=real.client.bottleneck,
        failed=len(schedule) - real.outcomes.get(ANSWERED, 0),
        first50=Both(told.first_s["50"], first.by_percentile[50] / 1e3),
        first99=Both(told.first_s["99"], first.by_percentile[99] / 1e3),
        each50=Both(told.each_s["50"], each.by_percentile[50] / 1e3),
        end50=Both(told.end_s["50"], end.by_percentile[50] / 1e3),
        per_s=Both(told.per_s, real.completed_per_s),
        tokens_per_s=Both(told.tokens_per_s, real.tokens_per_s),
    )


HEADS = ("load", "requests/s", "first token p50", "off", "first token p99", "token p50", "off", "answers/s", "off")


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
