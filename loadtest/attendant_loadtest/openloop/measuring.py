"""One run at one rate, watched from both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attendant_loadtest.openloop.figures import Figures, figures
from attendant_loadtest.openloop.live import Live
from attendant_loadtest.openloop.loop import Run, Target, run
from attendant_loadtest.openloop.objective import Objective
from attendant_loadtest.openloop.samples import Sample
from attendant_loadtest.openloop.server_watch import ServerLoad, ServerWatch
from attendant_loadtest.schedule.planned import Schedule


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of one schedule.

    Attributes:
        server: what the server said of itself; None: nothing.
    """

    name: str
    figures: Figures
    server: ServerLoad | None
    samples: Sequence[Sample]


@dataclass(frozen=True, slots=True)
class Measuring:
    """How schedules are run.

    Attributes:
        warmup_s: what is due before it does not count.
        gives_up: a run ends as soon as it is certain that it misses the objective.
    """

    target: Target
    watch: ServerWatch
    objective: Objective | None = None
    warmup_s: float = 0.0
    gives_up: bool = False

    async def measure(self, name: str, schedule: Schedule, seconds: float) -> Measured:
        """Run a schedule of so many seconds."""
        live = Live(name)

        def look(now: Run) -> bool:
            live.show(now)
            if not self.gives_up or self.objective is None:
                return False
            counted = [each for each in now.samples if each.planned.at_s >= self.warmup_s]
            return self.objective.hopeless(counted, now.now_s())

        async with self.watch.watching():
            try:
                found = await run(schedule, self.target, look)
            finally:
                live.clear()
        offered = sum(each.at_s >= self.warmup_s for each in schedule) / max(1e-9, seconds - self.warmup_s)
        said = figures(found, offered, self.objective, self.warmup_s)
        return Measured(name, said, self.watch.load, found.samples)
