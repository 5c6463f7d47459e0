"""Jobs of a thread: in order, a run at a time, each with one end."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from attendant.core.attention import JobFailure, JobReport, JobResult
from attendant.core.errors import DeadlineExceeded, RequestCancelled, StepFailed
from attendant.sidework.jobs import SideJobs

from tests.sidework.helpers import ALL, FAILS, FakeAttention, job


def nobody() -> bool:
    return False


def made(model: FakeAttention) -> tuple[SideJobs, list[JobResult | JobFailure]]:
    ends: list[JobResult | JobFailure] = []

    def deliver(report: JobReport) -> None:
        ends.extend(report.ends)

    return SideJobs(model, deliver), ends


def run_all(jobs: SideJobs, others_wait: Callable[[], bool] = nobody) -> None:
    while jobs.has_work:
        jobs.run(others_wait)


def test_each_has_its_result_in_order() -> None:
    model = FakeAttention()
    jobs, ends = made(model)
    for number in (9, 4, 1):
        jobs.add(job(str(number), number, keeps_hidden=True))
    run_all(jobs)
    assert [end.id for end in ends] == ["9", "4", "1"]
    for end in ends:
        assert isinstance(end, JobResult)
        weights, hidden = model.weights(int(end.id)), model.hidden(int(end.id))
        assert all(np.array_equal(piece.weights, weights[index]) for index, piece in enumerate(end.pieces))
        assert end.hidden is not None
        assert np.array_equal(end.hidden, hidden)
        assert end.run_ns > 0


def test_runs_that_nothing_is_kept_of_are_left_out() -> None:
    model = FakeAttention(chunk=2)
    jobs, ends = made(model)
    view = ALL.__class__(ALL.kind, ALL.layers, ALL.heads, first_query=1, num_queries=2, num_keys=3)
    jobs.add(job("j", 40, view))
    run_all(jobs)
    assert isinstance(ends[0], JobResult)
    assert (model.num_runs, model.num_closed) == (2, 1)


def test_hidden_states_without_weights() -> None:
    model = FakeAttention()
    jobs, ends = made(model)
    jobs.add(job("j", 7, None, keeps_hidden=True))
    run_all(jobs)
    (end,) = ends
    assert isinstance(end, JobResult)
    assert end.pieces == ()
    assert end.hidden is not None
    assert np.array_equal(end.hidden, model.hidden(7))


def test_while_others_wait_one_run_is_followed_by_their_turn() -> None:
    model = FakeAttention(chunk=2)
    jobs, ends = made(model)
    jobs.add(job("j", 6, share=0.5))
    assert jobs.may_run(others_wait=True)
    jobs.run(lambda: True)
    assert model.num_runs == 1
    assert not jobs.may_run(others_wait=True)
    assert jobs.may_run(others_wait=False)
    jobs.others_ran(10**12)
    assert jobs.may_run(others_wait=True)
    assert not ends


def test_one_that_comes_during_a_run_has_waited() -> None:
    jobs, _ = made(FakeAttention(chunk=2))
    jobs.add(job("j", 6))
    waiting = iter([False, True])
    jobs.run(lambda: next(waiting))
    assert not jobs.may_run(others_wait=True)


def test_cancelled_ones_end_once_whether_they_run_or_wait() -> None:
    model = FakeAttention()
    jobs, ends = made(model)
    for name in ("running", "waiting", "left"):
        jobs.add(job(name, 9))
    jobs.run(nobody)
    for name in ("running", "waiting", "unknown", "running"):
        jobs.cancel(name)
    assert [(end.id, type(end)) for end in ends] == [("running", JobFailure), ("waiting", JobFailure)]
    assert all(isinstance(end, JobFailure) and isinstance(end.error, RequestCancelled) for end in ends)
    assert model.num_closed == 1
    run_all(jobs)
    assert [(end.id, type(end)) for end in ends[2:]] == [("left", JobResult)]


def test_a_deadline_ends_one_that_waits_and_one_that_runs() -> None:
    jobs, ends = made(FakeAttention())
    soon = time.monotonic_ns() + 50_000_000
    jobs.add(job("running", 9, deadline_ns=soon))
    jobs.add(job("waiting", 9, deadline_ns=soon))
    jobs.run(nobody)
    while time.monotonic_ns() < soon:
        time.sleep(0.01)
    run_all(jobs)
    assert sorted(end.id for end in ends) == ["running", "waiting"]
    assert all(isinstance(end, JobFailure) and isinstance(end.error, DeadlineExceeded) for end in ends)


def test_one_that_raises_fails_alone() -> None:
    jobs, ends = made(FakeAttention())
    jobs.add(job("bad", FAILS))
    jobs.add(job("good", 3))
    run_all(jobs)
    bad, good = ends
    assert isinstance(bad, JobFailure)
    assert isinstance(bad.error, StepFailed)
    assert isinstance(good, JobResult)


def test_closed_jobs_let_go_of_what_ran() -> None:
    model = FakeAttention()
    jobs, ends = made(model)
    jobs.add(job("j", 9))
    jobs.run(nobody)
    jobs.close()
    assert (model.num_closed, ends, jobs.has_work) == (1, [], False)
