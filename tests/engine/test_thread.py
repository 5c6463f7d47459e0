"""A step in two halves, and the thread that does something else between them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from attendant.core.attention import AttentionModel, JobFailure, JobReport, JobResult
from attendant.core.errors import EngineDead, RequestCancelled, StepFailed
from attendant.core.events import FinishedEvent, StepReport
from attendant.core.plan import Move, StepOutput, StepPlan
from attendant.core.request import FinishReason
from attendant.engine.block_pool import BlockPool
from attendant.engine.chunking import AnyCuts
from attendant.engine.engine import Engine
from attendant.engine.limits import SchedulerLimits
from attendant.engine.scheduler import Scheduler
from attendant.engine.thread import EngineThread, Stop

from tests.engine.helpers import BlockRunner, Collected, drain, expected, request
from tests.sidework.helpers import FAILS, FakeAttention, job

CONTEXT = 64


class Device:
    """A runner that launches, and a log of what happened when. ``faults`` are raised once: stage -> error."""

    def __init__(self) -> None:
        self.runner = BlockRunner(4, 17, 16)
        self.log: list[str] = []
        self.thread: int | None = None  # that prepared it
        self.faults: dict[str, BaseException] = {}
        self.lost: BaseException | None = None  # raised from now on
        self.at_collect: Callable[[], None] = lambda: None

    def prepare(self) -> None:
        self.thread = threading.get_ident()
        self._fault("prepare")

    def move(self, moves: Sequence[Move]) -> None:
        self._fault("move")
        self.runner.move(moves)

    def launch(self, plan: StepPlan) -> None:
        assert self.thread in (None, threading.get_ident())
        self.log.append("launch")
        self._fault("launch")
        self.plan = plan

    def collect(self) -> StepOutput:
        self.log.append("collect")
        self.at_collect()
        self._fault("collect")
        return self.runner.run(self.plan)

    def _fault(self, stage: str) -> None:
        if error := self.faults.pop(stage, None) or (self.lost if stage == "launch" else None):
            raise error


def make() -> tuple[Engine, Device, Scheduler]:
    scheduler = Scheduler(BlockPool(4, 17, 16, CONTEXT), SchedulerLimits(4, 32, CONTEXT, (), AnyCuts()))
    device = Device()
    return Engine(scheduler, device), device, scheduler


class Running:
    """An engine thread whose reports and death are collected."""

    def __init__(self, engine: Engine, device: Device, attention: AttentionModel | None = None) -> None:
        self.device = device
        self.jobs: queue.SimpleQueue[JobResult | JobFailure] = queue.SimpleQueue()
        self.collected = Collected()
        self.ended: queue.SimpleQueue[object] = queue.SimpleQueue()
        self.thread = EngineThread("test", engine, self._deliver, self._died, attention)

    def _deliver(self, report: StepReport | JobReport) -> None:
        if isinstance(report, JobReport):
            for job in report.ends:
                self.jobs.put(job)
            return
        self.device.log.append("deliver")
        self.collected.take(report.events)
        for event in report.events:
            if event.request_id in self.collected.ends:
                self.ended.put(event)

    def _died(self, error: BaseException) -> None:
        self.device.log.append("death")
        self.ended.put(error)


def test_a_step_in_two_halves_is_a_step() -> None:
    engine, device, _ = make()
    engine.submit(request("r", [1, 2, 3], 4))
    engine.begin()
    assert device.log == ["launch"]
    with pytest.raises(AssertionError):
        engine.cancel("r")
    report = engine.finish()
    assert device.log == ["launch", "collect"]
    assert (report.stats.num_prefill_tokens, report.stats.num_running) == (3, 1)
    collected = Collected()
    collected.take(report.events)
    assert drain(engine, collected).answer("r")[:2] == expected([1, 2, 3], 4, context=CONTEXT)


@pytest.mark.parametrize("stage", ["launch", "collect"])
def test_a_run_that_fails_in_either_half_costs_its_own_requests(stage: str) -> None:
    engine, device, scheduler = make()
    engine.submit(request("bad", [1, 2, 3], 4))
    device.faults[stage] = RuntimeError("the device raised")
    collected = Collected()
    collected.take(engine.step().events)
    assert isinstance(collected.ends["bad"].error, StepFailed)  # type: ignore[union-attr]
    scheduler.pool.check()
    engine.submit(request("good", [1, 2, 3], 4))
    assert drain(engine, collected).answer("good")[:2] == expected([1, 2, 3], 4, context=CONTEXT)


def test_a_device_that_is_lost_ends_the_thread_and_no_request_ends_twice() -> None:
    engine, device, _ = make()
    running = Running(engine, device)
    running.thread.start()
    device.lost = RuntimeError("the device is lost")
    for id_ in ("a", "b"):
        running.thread.submit(request(id_, [1, 2, 3], 4))
    error = running.ended.get(timeout=300)
    assert not running.collected.ends, "whoever owns the thread ends them"
    assert isinstance(error, EngineDead)
    assert "the device is lost" in str(error)


def test_a_report_is_delivered_while_the_next_step_runs_and_the_last_at_once() -> None:
    engine, device, _ = make()
    running = Running(engine, device)
    running.thread.submit(request("r", [1, 2, 3], 3))
    running.thread.start()
    running.ended.get(timeout=300)
    running.thread.stop()
    assert device.log == [
        "launch",
        "collect",
        "launch",
        "deliver",
        "collect",
        "launch",
        "deliver",
        "collect",
        "deliver",
    ]
    assert running.collected.answer("r")[:2] == expected([1, 2, 3], 3, context=CONTEXT)


def test_anybody_can_see_since_when_a_step_goes_on_and_where_it_is() -> None:
    engine, device, _ = make()
    running = Running(engine, device)
    arrived, leave = threading.Semaphore(0), threading.Semaphore(0)

    def hold() -> None:
        arrived.release()
        leave.acquire()

    device.at_collect = hold
    running.thread.submit(request("r", [1, 2, 3], 2))
    before = time.monotonic_ns()
    running.thread.start()
    arrived.acquire()
    first_ns = running.thread.busy_since_ns
    assert before < first_ns < time.monotonic_ns()
    assert ", in hold\n" in running.thread.where()
    leave.release()
    arrived.acquire()
    assert running.thread.busy_since_ns > first_ns, "of each step anew"
    leave.release()
    running.ended.get(timeout=300)
    running.thread.stop()
    assert running.thread.busy_since_ns == 0
    assert running.thread.where() == ""


def test_the_engine_is_prepared_on_its_own_thread_before_the_start_is_over() -> None:
    engine, device, _ = make()
    running = Running(engine, device)
    running.thread.start()
    assert device.thread not in (None, threading.get_ident())
    running.thread.submit(request("r", [1, 2, 3], 3))
    running.ended.get(timeout=300)
    running.thread.stop()
    assert running.collected.answer("r")[:2] == expected([1, 2, 3], 3, context=CONTEXT)


def test_an_engine_that_cannot_be_prepared_is_not_started() -> None:
    engine, device, _ = make()
    running = Running(engine, device)
    error = device.faults["prepare"] = RuntimeError("no such device")
    with pytest.raises(RuntimeError) as caught:
        running.thread.start()
    assert caught.value is error
    running.thread.stop()
    assert running.ended.empty(), "nobody waits for what never served"


@pytest.mark.parametrize("stage", ["move", "schedule"])
def test_a_death_comes_after_the_report_before_it(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, device, scheduler = make()
    running = Running(engine, device)
    error = AssertionError("told to die")

    def after_the_first_step() -> None:
        if stage == "move":
            device.faults["move"] = error
        else:
            monkeypatch.setattr(scheduler, "schedule", lambda now: (_ for _ in ()).throw(error))

    device.at_collect = after_the_first_step
    running.thread.submit(request("r", [1, 2, 3], 30))
    running.thread.start()
    assert running.ended.get(timeout=300) is error
    assert device.log == ["launch", "collect", "deliver", "death"]
    assert len(running.collected.tokens["r"]) == 1


def test_a_stopped_thread_delivers_what_it_has() -> None:
    engine, device, _ = make()
    running = Running(engine, device)
    device.at_collect = lambda: running.thread._inbox.put(Stop()) if len(device.log) == 2 else None

    running.thread.submit(request("r", [1, 2, 3], 30))
    running.thread.start()
    running.thread._thread.join(10)
    assert device.log == ["launch", "collect", "deliver"]


def test_a_cancel_takes_effect_before_the_next_step() -> None:
    engine, device, scheduler = make()
    running = Running(engine, device)
    device.at_collect = lambda: running.thread.cancel("r")
    running.thread.submit(request("r", [1, 2, 3], 30))
    running.thread.start()
    end = running.ended.get(timeout=300)
    running.thread.stop()
    assert isinstance(end, FinishedEvent)
    assert end.reason is FinishReason.CANCELLED
    assert device.log.count("launch") == 1
    assert (len(running.collected.tokens["r"]), scheduler.pool.used_tokens) == (1, 0)


def test_the_invariants_are_checked_when_the_engine_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, device, scheduler = make()
    checks: list[int] = []
    monkeypatch.setattr(scheduler.pool, "check", lambda: checks.append(time.monotonic_ns()))
    running = Running(engine, device)
    running.thread.submit(request("r", [1, 2, 3], 9))
    running.thread.start()
    running.ended.get(timeout=300)
    running.thread.stop()
    assert len(checks) == 2, "before the request and after it"


def test_accounts_that_do_not_add_up_are_a_dead_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, device, scheduler = make()
    running = Running(engine, device)
    error = AssertionError("the accounts do not add up")
    monkeypatch.setattr(scheduler.pool, "check", lambda: (_ for _ in ()).throw(error))
    running.thread.start()
    assert running.ended.get(timeout=300) is error


def test_jobs_run_while_nothing_else_does_and_between_steps() -> None:
    engine, device, _ = make()
    attention = FakeAttention()
    running = Running(engine, device, attention)
    running.thread.start()
    running.thread.work(job("alone", 12))
    alone = running.jobs.get(timeout=300)
    assert isinstance(alone, JobResult)
    assert np.array_equal(alone.pieces[0].weights, attention.weights(12)[0])
    running.thread.submit(request("r", [1, 2, 3], 30))
    for number in range(3):
        running.thread.work(job(f"beside {number}", 12))
    assert [running.jobs.get(timeout=300).id for _ in range(3)] == ["beside 0", "beside 1", "beside 2"]
    running.ended.get(timeout=300)
    assert running.collected.answer("r")[:2] == expected([1, 2, 3], 30, context=CONTEXT)
    running.thread.stop()


def test_a_job_that_fails_costs_neither_the_thread_nor_another() -> None:
    engine, device, _ = make()
    running = Running(engine, device, FakeAttention())
    running.thread.start()
    running.thread.work(job("bad", FAILS))
    running.thread.work(job("good", 5))
    running.thread.submit(request("r", [1, 2, 3], 4))
    failed, good = running.jobs.get(timeout=300), running.jobs.get(timeout=300)
    assert isinstance(failed, JobFailure)
    assert isinstance(failed.error, StepFailed)
    assert (failed.id, good.id, type(good)) == ("bad", "good", JobResult)
    running.ended.get(timeout=300)
    assert running.collected.answer("r")[:2] == expected([1, 2, 3], 4, context=CONTEXT)
    running.thread.stop()


def test_a_request_that_is_cancelled_while_a_job_runs_ends_all_the_same() -> None:
    engine, device, _ = make()
    running = Running(engine, device, attention := FakeAttention())
    running.thread.start()
    attention.hold()
    running.thread.work(job("j", 12))
    attention.wait_until_running()
    running.thread.submit(request("r", [1, 2, 3], 4))
    running.thread.cancel("r")
    running.thread.end_work("j")
    attention.go_on()
    ended = running.jobs.get(timeout=300)
    assert isinstance(ended, JobFailure)
    assert isinstance(ended.error, RequestCancelled)
    end = running.ended.get(timeout=300)
    assert isinstance(end, FinishedEvent)
    assert attention.num_closed == 1
    running.thread.stop()


def test_a_stopped_thread_lets_go_of_the_job_that_ran() -> None:
    engine, device, _ = make()
    running = Running(engine, device, attention := FakeAttention())
    running.thread.start()
    attention.hold()
    running.thread.work(job("j", 12))
    attention.wait_until_running()
    running.thread.submit(request("r", [1, 2, 3], 4))
    attention.go_on()
    running.thread.stop()
    assert attention.num_closed == 1
