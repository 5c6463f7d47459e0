"""The scheduler with a model in plain Python that notices any wrong slot, position, copy or order."""

from __future__ import annotations

import time
from typing import Any

import pytest
from attendant.core.errors import DeadlineExceeded, EngineDead, StepFailed
from attendant.core.events import FailedEvent
from attendant.core.request import FinishReason
from attendant.engine.engine import Engine
from attendant.engine.limits import SchedulerLimits
from attendant.engine.scheduler import Scheduler
from attendant.engine.slot_pool import SlotPool
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.helpers import Collected, RecordingRunner, drain, expected, request

CONTEXT = 64


def make(
    num_slots: int = 4,
    budget: int = 16,
    capacity: int = 4 * CONTEXT,
    eos: tuple[int, ...] = (),
    cache: bool = True,
    apart: bool = False,
    run_cost: int | None = None,
) -> tuple[Engine, RecordingRunner, Scheduler]:
    pool = SlotPool(num_slots, CONTEXT, capacity, page_tokens=4, prefix_cache=cache)
    limits = SchedulerLimits(num_slots, budget, CONTEXT, eos, prompts_apart=apart, run_cost=run_cost)
    scheduler = Scheduler(pool, limits)
    runner = RecordingRunner(num_slots, CONTEXT)
    return Engine(scheduler, runner), runner, scheduler


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.integers(0, 3), st.integers(1, 60), st.integers(1, 30)),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("expire"), st.integers(1, 60)),
        st.tuples(st.just("step"), st.integers(1, 8)),
        st.tuples(st.just("fail"), st.integers(0, 30)),
    ),
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(
    ACTIONS,
    st.integers(1, 5),
    st.integers(16, 40),
    st.integers(8, 30),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0, 8, None]),
)
def test_every_request_gets_the_tokens_it_would_get_alone(
    actions: list[tuple], num_slots: int, pages: int, budget: int, cache: bool, apart: bool, run_cost: int | None
) -> None:
    engine, runner, scheduler = make(num_slots, budget, pages * 4, (3, 5), cache, apart, run_cost)
    collected = Collected()
    submitted: dict[str, Any] = {}
    disturbed: set[str] = set()
    failed: set[str] = set()
    for action in actions:
        match action:
            case ("submit", family, length, max_tokens):
                id_ = str(len(submitted))
                prompt = [family] * (length // 2) + [10 + len(submitted)] * (length - length // 2)
                submitted[id_] = (prompt, max_tokens)
                engine.submit(request(id_, prompt, max_tokens))
            case ("cancel", index):
                disturbed.add(str(index))
                engine.cancel(str(index))
            case ("expire", length):
                id_ = str(len(submitted))
                submitted[id_] = ([1] * length, 5)
                disturbed.add(id_)
                engine.submit(request(id_, [1] * length, 5, deadline_ns=time.monotonic_ns()))
            case ("fail", index):
                runner.fail_on = {str(index)}
            case ("step", count):
                for _ in range(count):
                    plan_before = len(runner.plans)
                    collected.take(engine.step().events)
                    scheduler.pool.check()
                    for plan in runner.plans[plan_before:]:
                        assert not (apart and plan.decodes and plan.prefills)
                        ids = {c.request_id for c in (*plan.decodes, *plan.prefills)}
                        failed |= ids & runner.fail_on
                    if failed & runner.fail_on:
                        runner.fail_on = set()
    runner.fail_on = set()
    drain(engine, collected)
    assert set(collected.ends) == set(submitted), "every request ends in exactly one terminal event"
    for id_, (prompt, max_tokens) in submitted.items():
        tokens, reason, _ = collected.answer(id_)
        want, want_reason = expected(prompt, max_tokens, (3, 5), context=CONTEXT)
        assert (reason == "StepFailed") == (id_ in failed), "those that fail alone have failed, and nobody else"
        if id_ in disturbed | failed:
            assert tokens == want[: len(tokens)]
        else:
            assert (tokens, reason) == (want, want_reason)
    assert scheduler.pool.used_tokens == 0


def test_decodes_go_first_and_a_long_prompt_comes_in_chunks() -> None:
    engine, runner, _ = make(budget=10)
    engine.submit(request("stream", [1, 2, 3], 40))
    engine.step()
    engine.submit(request("long", [9] * 50, 4))
    collected = drain(engine)
    first_steps = runner.plans[1:6]
    assert all([c.request_id for c in plan.decodes] == ["stream"] for plan in first_steps)
    assert [len(plan.prefills[0].tokens) for plan in first_steps] == [9] * 5
    assert len(collected.tokens["long"]) == 4


def test_prompts_advance_while_every_other_slot_decodes() -> None:
    engine, runner, _ = make(num_slots=4, budget=7)
    for i in range(3):
        engine.submit(request(str(i), [i], 50))
    engine.step()
    engine.submit(request("prompt", [8] * 20, 1))
    collected = Collected()
    for _ in range(15):
        collected.take(engine.step().events)
    assert "prompt" in collected.ends
    assert all(len(plan.decodes) == 3 for plan in runner.plans[2:6])


def test_with_prompts_apart_a_first_token_waits_for_no_other_work() -> None:
    engine, runner, _ = make(budget=40, apart=True, run_cost=0)
    engine.submit(request("stream", [1, 2, 3], 40))
    engine.step()
    engine.step()
    engine.submit(request("a", [8] * 15, 9))
    engine.submit(request("b", [9] * 15, 9))
    collected = Collected()
    collected.take(engine.step().events)
    assert {id_: len(tokens) for id_, tokens in collected.tokens.items()} == {"a": 1}
    engine.submit(request("late", [7] * 5, 9))
    for _ in range(3):
        collected.take(engine.step().events)
    order = [[c.request_id for c in (*plan.prefills, *plan.decodes)] for plan in runner.plans[2:]]
    assert order == [["a"], ["b"], ["late"], ["stream", "a", "b", "late"]], "and the second comes with the next decodes"


def test_with_prompts_apart_decodes_wait_for_one_budget_at_most() -> None:
    engine, runner, _ = make(num_slots=4, budget=24, apart=True, run_cost=0)
    engine.submit(request("stream", [1, 2], 60))
    engine.step()
    for i in range(3):
        engine.submit(request(str(i), [9 + i] * 50, 2))
    drain(engine)
    waited = [0]
    for plan in runner.plans[1:]:
        if plan.decodes:
            waited.append(0)
        waited[-1] += sum(len(chunk.tokens) for chunk in plan.prefills)
    assert sum(waited) == 150
    assert 16 < max(waited) < 24


@pytest.mark.parametrize("apart", [False, True])
def test_the_queue_is_first_come_first_served(apart: bool) -> None:
    engine, runner, _ = make(num_slots=2, apart=apart)
    for i in range(6):
        engine.submit(request(str(i), [i + 1] * 5, 3))
    drain(engine)
    began = [c.request_id for plan in runner.plans for c in plan.prefills]
    assert began == [str(i) for i in range(6)]


@pytest.mark.parametrize("apart", [False, True])
def test_preemption_takes_the_youngest_and_everybody_finishes(apart: bool) -> None:
    engine, _, scheduler = make(num_slots=4, capacity=CONTEXT + 16, cache=False, apart=apart)
    for i in range(4):
        engine.submit(request(str(i), [i + 1] * 10, 40))
    collected = drain(engine)
    assert scheduler.num_preemptions > 0
    ends = list(collected.ends)
    assert ends[0] == "0", "the oldest finishes first"
    for i in range(4):
        assert collected.answer(str(i))[:2] == expected([i + 1] * 10, 40, context=CONTEXT)


def test_a_failed_step_fails_its_own_requests_only() -> None:
    engine, runner, _ = make(num_slots=1)
    engine.submit(request("bad", [1, 2], 5))
    engine.submit(request("good", [3, 4], 5))
    runner.fail_on = {"bad"}
    collected = drain(engine)
    end = collected.ends["bad"]
    assert isinstance(end, FailedEvent)
    assert isinstance(end.error, StepFailed)
    assert collected.answer("good")[:2] == expected([3, 4], 5, context=CONTEXT)


def test_deadlines_hold_for_waiting_and_running(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, _, _ = make(num_slots=1)
    now = time.monotonic_ns()
    hour = 3600 * 10**9
    engine.submit(request("running", [1], 60, deadline_ns=now + 2 * hour))
    engine.submit(request("waiting", [2], 60, deadline_ns=now + hour))
    assert not any(isinstance(event, FailedEvent) for event in engine.step().events)
    monkeypatch.setattr(time, "monotonic_ns", lambda: now + 3 * hour)
    collected = Collected()
    collected.take(engine.step().events)
    assert {type(e.error) for e in collected.ends.values()} == {DeadlineExceeded}
    assert "waiting" in str(collected.ends["waiting"].error)
    assert "running" in str(collected.ends["running"].error)


def test_cancel_frees_the_slot_before_the_next_step() -> None:
    engine, runner, _ = make(num_slots=1)
    engine.submit(request("first", [1], 60))
    engine.submit(request("second", [2], 2))
    engine.step()
    engine.cancel("first")
    collected = Collected()
    collected.take(engine.step().events)
    assert collected.ends["first"].reason is FinishReason.CANCELLED
    assert [c.request_id for c in runner.plans[-1].decodes] == ["second"]


@pytest.mark.parametrize("stop", [True, False])
def test_usage_counts_the_stop_token_but_does_not_send_it(stop: bool) -> None:
    prompt = [4, 4]
    first = RecordingRunner(1, 1).next_token(prompt)
    engine, _, _ = make(eos=(first,) if stop else ())
    engine.submit(request("r", prompt, 1))
    collected = drain(engine)
    end = collected.ends["r"]
    assert end.usage.completion_tokens == 1
    assert collected.tokens["r"] == ([] if stop else [first])
    assert end.stop_token_id == (first if stop else None)


def test_min_tokens_forbids_stopping() -> None:
    prompt = [4, 4]
    first = RecordingRunner(1, 1).next_token(prompt)
    engine, _, _ = make(eos=(first,))
    engine.submit(request("r", prompt, 4, min_tokens=2))
    assert len(drain(engine).tokens["r"]) >= 2


def test_prefix_reuse_is_counted_and_computes_only_the_rest() -> None:
    engine, runner, scheduler = make(budget=64)
    engine.submit(request("a", list(range(30)), 1))
    drain(engine)
    engine.submit(request("b", [*range(30), 77, 78], 1))
    collected = drain(engine)
    assert collected.ends["b"].usage.cached_tokens == 30
    assert [len(c.tokens) for c in runner.plans[-1].prefills] == [2]
    assert (scheduler.pool.prefix_stats.queries, scheduler.pool.prefix_stats.hits) == (62, 30)


def test_the_context_length_ends_a_sequence() -> None:
    engine, _, _ = make()
    engine.submit(request("r", [1] * (CONTEXT - 3), 100))
    collected = drain(engine)
    assert len(collected.tokens["r"]) == 3
    assert collected.ends["r"].reason is FinishReason.LENGTH


def runs_of(runner: RecordingRunner) -> list[list[str]]:
    return [[c.request_id for c in (*plan.prefills, *plan.decodes)] for plan in runner.plans]


def test_prompts_that_wait_together_share_a_run_while_that_is_sooner_for_all() -> None:
    engine, runner, _ = make(num_slots=4, budget=60, run_cost=10)
    for name, length in (("a", 8), ("b", 9), ("c", 30), ("d", 4)):
        engine.submit(request(name, [ord(name)] * length, 1))
    drain(engine)
    # b delays a by 9 and spares three prompts a run, 30; c would delay two prompts by 30 and spare two a run, 20
    assert runs_of(runner) == [["a", "b"], ["c", "d"]]


def test_a_prompt_rides_with_decodes_and_with_no_other_that_it_would_keep_waiting() -> None:
    engine, runner, _ = make(num_slots=4, budget=60, run_cost=10)
    engine.submit(request("stream", [1, 2, 3], 9))
    engine.step()
    for name, length in (("a", 8), ("b", 25)):
        engine.submit(request(name, [ord(name)] * length, 3))
    drain(engine)
    assert runs_of(runner)[1:3] == [["a", "stream"], ["b", "stream", "a"]]


def test_a_prompt_waits_for_the_part_of_it_that_another_computes() -> None:
    engine, runner, _ = make(num_slots=4, budget=60, run_cost=100)
    shared = [7] * 20
    for name in ("a", "b"):
        engine.submit(request(name, [*shared, *([ord(name)] * 4)], 1))
    collected = drain(engine)
    assert runs_of(runner) == [["a"], ["b"]]
    assert collected.ends["b"].usage.cached_tokens == len(shared)


def test_when_everybody_fails_alone_a_token_of_nobody_tells_whether_the_device_is_to_blame() -> None:
    engine, runner, scheduler = make()
    for id_ in ("a", "b", "c"):
        engine.submit(request(id_, [1, 2], 5))
    runner.fail_on = {"a", "b", "c"}
    ends = {event.request_id: event for event in engine.step().events}
    assert all(isinstance(end, FailedEvent) for end in ends.values())
    assert set(ends) == {"a", "b", "c"}
    assert runner.plans[-1].requests == ("probe",)
    scheduler.pool.check()
    engine.submit(request("after", [3, 4], 5))
    assert drain(engine).answer("after")[:2] == expected([3, 4], 5, context=CONTEXT)

    engine.submit(request("last", [1, 2], 5))
    runner.fail_on = {"last", "probe"}
    with pytest.raises(EngineDead, match="the model raised"):
        engine.step()


def test_one_that_fails_costs_the_others_of_its_run_nothing_and_is_named_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine, runner, _ = make(num_slots=4, budget=20)
    ids = ["a", "bad", "c", "d"]
    for i, id_ in enumerate(ids):
        engine.submit(request(id_, [i, 2, 3], 6))
    collected = Collected()
    for _ in range(3):
        collected.take(engine.step().events)
    runner.fail_on = {"bad"}
    drain(engine, collected)
    for i, id_ in enumerate(ids):
        tokens, reason, _ = collected.answer(id_)
        wanted = expected([i, 2, 3], 6, context=CONTEXT)
        assert (tokens, reason) == ((wanted[0][: len(tokens)], "StepFailed") if id_ == "bad" else wanted)
    assert "a run of the requests a, bad, c, d failed" in caplog.text
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        "the model run of request bad failed"
    ]
