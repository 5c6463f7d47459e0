"""Requests come when they are due, whatever the server does, and all times count from then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from attendant_loadtest.openloop.figures import figures, gaps_of
from attendant_loadtest.openloop.loop import Run, run
from attendant_loadtest.openloop.objective import Objective
from attendant_loadtest.openloop.samples import ABANDONED, ANSWERED, FAILED, Sample
from attendant_loadtest.schedule.arrivals import Constant
from attendant_loadtest.schedule.mix import alike, plan
from attendant_loadtest.schedule.planned import Planned

from tests.loadtest.openloop.virtual import OneAtATime, virtually


def measured(server: Callable[[], OneAtATime], per_s: float, seconds: float, answer: int = 1) -> Run:
    schedule = plan(Constant(per_s), alike(8, answer), seconds, 1)

    async def main() -> Run:
        return await run(schedule, server())

    return virtually(main())


def test_every_request_is_made_when_it_is_due_and_counts_from_then() -> None:
    found = measured(lambda: OneAtATime(0.01, 0.002), per_s=10, seconds=2, answer=4)
    assert [each.sent_s for each in found.samples] == pytest.approx([0.1 * n for n in range(20)])
    assert all(each.how == ANSWERED for each in found.samples)
    assert [each.ttft_s for each in found.samples] == pytest.approx([0.01] * 20)
    assert [each.itl_s for each in found.samples] == pytest.approx([0.002] * 20)
    assert [each.e2e_s for each in found.samples] == pytest.approx([0.016] * 20)
    assert gaps_of(found.samples).tolist() == pytest.approx([0.002] * 60)


def test_a_stall_shows_in_the_high_percentiles_of_those_who_came_meanwhile() -> None:
    """200 requests in 20 s; for 2 s of it nothing goes on. A closed loop would tell of one slow request."""
    found = figures(measured(lambda: OneAtATime(0.01, stall=(5.0, 7.0)), per_s=10, seconds=20), 10)
    assert found.ttft is not None
    assert found.ttft.by_percentile[50] == pytest.approx(10, rel=0.01)
    assert found.ttft.by_percentile[95] == pytest.approx(1000, rel=0.2), "a tenth of all came within the stall"
    assert found.ttft.by_percentile[99] > 1700
    assert found.ttft.most == pytest.approx(2000, rel=0.05)


def test_a_server_that_is_too_slow_does_not_slow_arrivals() -> None:
    found = measured(lambda: OneAtATime(0.2), per_s=10, seconds=4)
    assert [each.sent_s for each in found.samples] == pytest.approx([0.1 * n for n in range(40)])
    waits = [each.ttft_s for each in found.samples]
    assert waits == pytest.approx([0.2 + 0.1 * n for n in range(40)]), "the queue grows by one each 0.2 s"


def test_a_late_client_is_late_in_its_figures() -> None:
    """A slow preparation of nothing: the client sends the second request 0.3 s late, and both times show."""

    class Holding(OneAtATime):
        async def ask(self, prepared: int, planned: Planned, sample: Sample, now_s: Callable[[], float]) -> None:
            loop = asyncio.get_running_loop()
            if planned.at_s == 0:
                loop.passed_s += 0.4  # type: ignore[attr-defined]  # as if the client had computed for so long
            await super().ask(prepared, planned, sample, now_s)

    found = measured(lambda: Holding(0.01), per_s=10, seconds=1)
    assert found.samples[1].lateness_s == pytest.approx(0.3)
    assert found.samples[1].ttft_s is not None
    assert found.samples[1].ttft_s > 0.3
    assert "ms late" in figures(found, 10).client.bottleneck


def test_a_run_that_is_watched_can_be_broken_off() -> None:
    schedule = plan(Constant(10), alike(8, 1), 60, 1)
    objective = Objective(ttft_s=1.0)

    async def main() -> tuple[Run, float]:
        server = OneAtATime(0.2)
        found = await run(schedule, server, lambda now: objective.hopeless(now.samples, now.now_s()))
        return found, asyncio.get_running_loop().time()

    found, ended_s = virtually(main())
    assert found.stopped
    assert ended_s < 1000 + 60, "before all had come"
    assert {each.how for each in found.samples if each.sent_s is not None} == {ANSWERED, ABANDONED}
    said = figures(found, 10, objective)
    assert said.met is False
    assert said.requests < len(schedule), "of those that never came nothing is said"


def test_what_ends_a_run_is_raised_and_leaves_nothing_behind() -> None:
    class Broken(OneAtATime):
        async def ask(self, prepared: int, planned: Planned, sample: Sample, now_s: Callable[[], float]) -> None:
            if planned.at_s >= 0.5:
                raise ValueError("a mistake of the client's own")
            await asyncio.sleep(3600)

    async def main() -> int:
        with pytest.raises(ValueError, match="a mistake"):
            await run(plan(Constant(10), alike(8, 1), 1, 1), Broken(0.1))
        return len(asyncio.all_tasks())

    assert virtually(main()) == 1


def test_figures_begin_after_the_warm_up_and_count_what_failed() -> None:
    found = measured(lambda: OneAtATime(0.01), per_s=10, seconds=2)
    found.samples[-1].how, found.samples[-1].error = FAILED, "INTERNAL: no"
    said = figures(found, 10, Objective(ttft_s=0.05), warmup_s=1.0)
    assert (said.requests, said.outcomes, said.errors) == (10, {ANSWERED: 9, FAILED: 1}, {"INTERNAL: no": 1})
    assert said.first_misses == pytest.approx(0.1)
    assert said.seconds == pytest.approx(0.91)
    assert said.completed_per_s == pytest.approx(9 / 0.91)
    assert said.goodput_per_s == pytest.approx(9 / 0.91)
