"""The batch thread: every row ends once, whatever happens to it or beside it."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from attendant.batching.policy import BatchLimits
from attendant.core.attention import JobFailure, JobResult
from attendant.core.encoding import RowFailure, RowResult
from attendant.core.errors import DeadlineExceeded, RequestCancelled, StepFailed

from tests.batching.helpers import HANGS_S, FakeRunner, Running, row
from tests.sidework.helpers import FAILS, FakeAttention, job

LIMITS = BatchLimits("packed", 1000, 8)


@pytest.fixture
def runner() -> FakeRunner:
    return FakeRunner()


def held(runner: FakeRunner, running: Running) -> str:
    """One row that runs until the gate opens, so that what is submitted now waits."""
    runner.hold()
    first = row()
    running.thread.submit([first])
    runner.wait_until_running()
    return first.id


def error_of(running: Running, row_id: str) -> Exception:
    end = running.ends[row_id]
    assert isinstance(end, RowFailure)
    return end.error


def test_what_waits_goes_together(runner: FakeRunner) -> None:
    with Running(runner, LIMITS) as running:
        first = held(runner, running)
        rows = [row(value=v) for v in (1, 2, 3)]
        for waiting in rows:
            running.thread.submit([waiting])
        assert running.thread.num_running == 1
        runner.gate.set()
        running.wait(4)
        assert runner.batches == [(first,), tuple(r.id for r in rows)]
        assert [float(running.ends[r.id].outputs["logits"][0]) for r in rows] == [3, 6, 9]
        assert [(s.num_rows, s.size, s.padded_size, s.num_waiting) for s in running.stats] == [
            (1, 3, 3, 0),
            (3, 9, 9, 0),
        ]
        assert running.thread.num_running == 0


def test_anybody_can_see_since_when_a_run_goes_on_and_where_it_is(runner: FakeRunner) -> None:
    before = time.monotonic_ns()
    with Running(runner, LIMITS) as running:
        held(runner, running)
        assert before < running.thread.busy_since_ns < time.monotonic_ns()
        assert ", in run\n" in running.thread.where()
        runner.gate.set()
    assert running.thread.busy_since_ns == 0
    assert running.thread.where() == ""


def test_a_row_that_waits_can_be_cancelled_and_one_that_runs_goes_on(runner: FakeRunner) -> None:
    with Running(runner, LIMITS) as running:
        first = held(runner, running)
        second, third = row(), row()
        running.thread.submit([second, third])
        running.thread.cancel([first, second.id, "strange"])
        runner.gate.set()
        running.wait(3)
        assert isinstance(running.ends[first], RowResult)
        assert isinstance(error_of(running, second.id), RequestCancelled)
        assert runner.batches == [(first,), (third.id,)]


def test_a_row_that_expires_while_it_waits_is_not_run(runner: FakeRunner) -> None:
    with Running(runner, LIMITS) as running:
        first = held(runner, running)
        late = row(deadline_ns=time.monotonic_ns() + 1000)
        in_time = row(deadline_ns=time.monotonic_ns() + 60 * 10**9)
        running.thread.submit([late, in_time])
        time.sleep(0.001)
        runner.gate.set()
        running.wait(3)
        assert isinstance(error_of(running, late.id), DeadlineExceeded)
        assert runner.batches == [(first,), (in_time.id,)]


def test_a_row_that_is_cancelled_after_its_deadline_was_late(runner: FakeRunner) -> None:
    with Running(runner, LIMITS) as running:
        held(runner, running)
        late = row(deadline_ns=time.monotonic_ns() + 1000)
        in_time = row(deadline_ns=time.monotonic_ns() + 60 * 10**9)
        running.thread.submit([late, in_time])
        time.sleep(0.001)
        running.thread.cancel([late.id, in_time.id])
        runner.gate.set()
        running.wait(3)
        assert isinstance(error_of(running, late.id), DeadlineExceeded)
        assert isinstance(error_of(running, in_time.id), RequestCancelled)


def test_a_batch_of_expired_rows_only_runs_nothing(runner: FakeRunner) -> None:
    with Running(runner, LIMITS) as running:
        running.thread.submit([row(deadline_ns=0), row(deadline_ns=0)])
        running.wait(2)
        assert runner.batches == []


def test_a_poisoned_row_costs_itself(runner: FakeRunner, caplog: pytest.LogCaptureFixture) -> None:
    with Running(runner, LIMITS) as running:
        first = held(runner, running)
        rows = [row(), row(value=-1), row()]
        running.thread.submit(rows)
        runner.gate.set()
        running.wait(4)
        bad = error_of(running, rows[1].id)
        assert isinstance(bad, StepFailed)
        assert bad.__cause__ is runner.error
        assert all(isinstance(running.ends[r.id], RowResult) for r in (rows[0], rows[2]))
        one, two, three = (r.id for r in rows)
        assert runner.batches == [(first,), (one, two, three), (one,), (two, three), (two,), (three,)]
        assert f"the rows {two}, {three} failed" in caplog.text
        assert f"the model run of row {two} failed" in caplog.text
        running.thread.submit([row()])  # and it goes on
        running.wait(1)


def test_results_that_are_no_numbers_fail_their_row_only(runner: FakeRunner) -> None:
    with Running(runner, LIMITS) as running:
        first = held(runner, running)
        rows = [row(value=value) for value in (1, float("nan"), float("inf"), 3)]
        running.thread.submit(rows)
        runner.gate.set()
        running.wait(5)
        assert runner.batches == [(first,), tuple(each.id for each in rows)], "nothing runs again"
        assert all(isinstance(error_of(running, rows[index].id), StepFailed) for index in (1, 2))
        assert [float(running.ends[rows[index].id].outputs["logits"][0]) for index in (0, 3)] == [3, 9]


def test_when_every_row_fails_alone_one_of_nobody_tells_whether_the_runner_is_to_blame(runner: FakeRunner) -> None:
    with Running(runner, LIMITS, probe=row(row_id="probe")) as running:
        rows = [row(value=-1), row(value=-1)]
        running.thread.submit(rows)
        running.wait(2)
        running.thread.submit([row(row_id="after")])
        running.wait(1)
        assert isinstance(running.ends["after"], RowResult)
        assert [ids for ids in runner.batches if len(ids) == 1][-2:] == [("probe",), ("after",)]
    runner.batches.clear()
    with Running(runner, LIMITS, probe=row(value=-1)) as running:
        running.thread.submit([row(value=-1)])
        assert running.died.get(timeout=HANGS_S) is runner.error
        assert len(running.ends) == 1


def test_in_random_schedules_nobody_fails_but_those_at_fault(runner: FakeRunner) -> None:
    chance = random.Random(0)
    with Running(runner, LIMITS, probe=row(row_id="probe")) as running:
        rows = [row(chance.randint(1, 40), value=chance.choice([1, 2, 3, -1])) for _ in range(400)]
        for start in range(0, len(rows), 20):
            running.thread.submit(rows[start : start + 20])
        running.wait(len(rows))
    for each in rows:
        end, value = running.ends[each.id], each.arrays["input_ids"]
        if (value < 0).any():
            assert isinstance(end, RowFailure)
        else:
            assert isinstance(end, RowResult)
            assert end.outputs["logits"] == value.sum()


def test_rows_of_a_failed_run_can_still_be_cancelled(runner: FakeRunner) -> None:
    with Running(runner, LIMITS) as running:
        held(runner, running)
        rows = [row(value=-1), row()]
        running.thread.submit(rows)
        runner.gate.set()
        running.wait(1)
        runner.hold()  # either in the run of both, or in the one after it
        running.thread.cancel([rows[1].id])
        runner.gate.set()
        running.wait(2)
        assert {rows[0].id, rows[1].id} <= set(running.ends)


@pytest.mark.parametrize("where", ["runner", "deliver"])
def test_a_death_is_told_and_nothing_follows(runner: FakeRunner, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    running = Running(runner, LIMITS)
    error = SystemExit("told to die") if where == "runner" else AssertionError("told to die")
    if where == "runner":
        runner.error = error
    else:

        def refuse(report: object) -> None:
            raise error

        monkeypatch.setattr(running.thread, "_deliver", refuse)
    with running:
        running.thread.submit([row(value=-1), row()] if where == "runner" else [row()])
        assert running.died.get(timeout=HANGS_S) is error
        running.thread.submit([row()])
    assert running.ends == {}


def test_a_thread_stops_after_the_run_it_is_in(runner: FakeRunner) -> None:
    with Running(runner, LIMITS) as running:
        first = held(runner, running)
        running.thread.submit([row()])
        stopper = threading.Thread(target=running.thread.stop)
        stopper.start()
        while running.thread._inbox.qsize() < 2:
            time.sleep(0.001)
        runner.gate.set()
        stopper.join(HANGS_S)
        assert list(running.ends) == [first]
        assert running.died.empty()
        running.thread.stop()


def test_a_delay_gathers_the_preferred_rows(runner: FakeRunner) -> None:
    limits = replace(LIMITS, preferred_rows=3, max_delay_ns=3600 * 10**9)
    with Running(runner, limits) as running:
        rows = [row() for _ in range(3)]
        for one in rows:
            running.thread.submit([one])
            time.sleep(0.002)
        running.wait(3)
        assert runner.batches == [tuple(r.id for r in rows)]


def test_a_delay_ends(runner: FakeRunner) -> None:
    with Running(runner, replace(LIMITS, max_delay_ns=20_000_000)) as running:
        first, second = row(), row()
        running.thread.submit([first, second])
        running.wait(2)
        assert runner.batches == [(first.id, second.id)]
        result = running.ends[first.id]
        assert isinstance(result, RowResult)
        assert result.started_ns - first.arrival_ns >= 20_000_000


@pytest.mark.parametrize("layout", ["packed", "padded", "equal"])
def test_every_row_ends_once_under_random_load(runner: FakeRunner, layout: Any) -> None:
    chance = random.Random(1)
    rows = [row(chance.randint(1, 60), value=-1 if chance.random() < 0.02 else 2) for _ in range(600)]
    cancelled: set[str] = set()
    with Running(runner, BatchLimits(layout, 300, 16)) as running:
        left = list(rows)
        while left:
            count = chance.randint(1, 30)
            some, left = left[:count], left[count:]
            running.thread.submit(some)
            if chance.random() < 0.3:
                victim = chance.choice(some).id
                cancelled.add(victim)
                running.thread.cancel([victim])
            time.sleep(chance.random() * 0.001)
        running.wait(len(rows))
    for one in rows:
        end = running.ends[one.id]
        if isinstance(end, RowResult):
            assert float(end.outputs["logits"][0]) == 2 * one.size
        elif isinstance(end.error, RequestCancelled):
            assert one.id in cancelled
        else:
            assert one.arrays["input_ids"][0] == -1


def test_jobs_run_between_batches_and_end_whatever_becomes_of_rows() -> None:
    attention = FakeAttention()
    runner = FakeRunner()
    with Running(runner, LIMITS, attention=attention) as running:
        running.thread.work(job("alone", 12))
        alone = running.jobs.get(timeout=HANGS_S)
        assert isinstance(alone, JobResult)
        assert np.array_equal(alone.pieces[1].weights, attention.weights(12)[1])
        for number in range(4):
            running.thread.work(job(str(number), FAILS if number == 1 else 6))
            running.thread.submit([row(), row(value=-1)])
        running.wait(8)
        found = [running.jobs.get(timeout=HANGS_S) for _ in range(4)]
        assert [(end.id, type(end)) for end in found] == [
            *(("0", JobResult), ("1", JobFailure), ("2", JobResult), ("3", JobResult))
        ]


def test_a_batch_that_waits_for_more_rows_leaves_its_time_to_jobs() -> None:
    patient = replace(LIMITS, max_delay_ns=10**15)
    with Running(FakeRunner(), patient, attention=FakeAttention()) as running:
        running.thread.submit([row(row_id="r")])
        running.thread.work(job("j", 12))
        assert running.jobs.get(timeout=HANGS_S).id == "j"
        running.thread.cancel(["r"])
        running.wait(1)


def test_rows_that_can_no_longer_be_done_in_time_end_before_they_cost_a_run(runner: FakeRunner) -> None:
    """What a run takes is told in hours, so that no machine is so slow that its test depends on it."""
    for ends in (True, False):
        with Running(runner, BatchLimits("packed", 1000, 1, end_hopeless=ends)) as running:
            running.thread._times.take(100, 3600 * 10**9)
            first = held(runner, running)
            in_half_an_hour = time.monotonic_ns() + 1800 * 10**9
            hopeless = row(100, deadline_ns=in_half_an_hour)
            others = [row(100), row(100, deadline_ns=in_half_an_hour)]
            running.thread.submit([hopeless, *others])
            runner.gate.set()
            running.wait(4)
            ran = [batch[0] for batch in runner.batches]
            if ends:
                assert isinstance(error_of(running, hopeless.id), DeadlineExceeded)
                assert ran == [first, others[0].id, others[1].id], "the last one leaves time to find out"
            else:
                assert ran == [first, hopeless.id, others[0].id, others[1].id]
            runner.batches.clear()
