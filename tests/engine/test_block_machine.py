"""Scheduler, pages and a model that reads through its block table: every answer is the answer alone."""

from __future__ import annotations

import pytest
from attendant.engine.block_pool import BlockPool
from attendant.engine.chunking import AnyCuts
from attendant.engine.engine import Engine
from attendant.engine.limits import SchedulerLimits
from attendant.engine.scheduler import Scheduler
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests.engine.helpers import BlockRunner, Collected, drain, expected, request

CONTEXT = 64
EOS = (3, 5)


class PagesMachine(RuleBasedStateMachine):
    """Requests that share prefixes come and go in a pool that is too small for them."""

    block_size = 1
    seen: dict[str, int]

    @initialize(
        num_slots=st.integers(1, 6),
        spare=st.integers(0, 50),
        budget=st.integers(9, 40),
        prefix_cache=st.booleans(),
        min_prefix=st.sampled_from([1, 16]),
    )
    def start(self, num_slots: int, spare: int, budget: int, prefix_cache: bool, min_prefix: int) -> None:
        num_blocks = 1 + CONTEXT // self.block_size + spare // self.block_size
        self.pool = BlockPool(
            num_slots, num_blocks, self.block_size, CONTEXT, prefix_cache=prefix_cache, min_prefix=min_prefix
        )
        self.scheduler = Scheduler(self.pool, SchedulerLimits(num_slots, budget, CONTEXT, EOS, AnyCuts()))
        self.runner = BlockRunner(num_slots, num_blocks, self.block_size)
        self.engine = Engine(self.scheduler, self.runner)
        self.collected = Collected()
        self.asked: dict[str, tuple[list[int], int]] = {}
        self.disturbed: set[str] = set()
        self.failed: set[str] = set()

    @rule(
        family=st.integers(0, 2),
        shared=st.integers(0, 40),
        own=st.integers(0, 23),
        max_tokens=st.integers(1, 60),
        copies=st.sampled_from([1, 1, 1, 2, 4]),
    )
    def submit(self, family: int, shared: int, own: int, max_tokens: int, copies: int) -> None:
        prompt = [family, *([6] * shared), *([10 + len(self.asked)] * own)][: CONTEXT - 1]
        for _ in range(copies):
            self._submit(prompt, max_tokens)

    @precondition(lambda self: any(self.collected.tokens.values()))
    @rule(pick=st.integers(0, 99), own=st.integers(1, 9))
    def next_turn(self, pick: int, own: int) -> None:
        """A conversation goes on: the prompt is an earlier one, its answer so far, and more."""
        answered = [id_ for id_, tokens in self.collected.tokens.items() if tokens]
        id_ = answered[pick % len(answered)]
        prompt = [*self.asked[id_][0], *self.collected.tokens[id_], *([50 + own] * own)]
        if len(prompt) < CONTEXT:
            self._submit(prompt, 5)

    @rule(count=st.integers(1, 12))
    def step(self, count: int) -> None:
        for _ in range(count):
            self.collected.take(self.engine.step().events)
            self.pool.check()
            if not self.engine.has_work:
                break

    @precondition(lambda self: self.asked)
    @rule(pick=st.integers(0, 99))
    def cancel(self, pick: int) -> None:
        id_ = str(pick % len(self.asked))
        self.disturbed.add(id_)
        self.engine.cancel(id_)
        self.pool.check()

    @precondition(lambda self: self.asked)
    @rule(pick=st.integers(0, 99))
    def fail(self, pick: int) -> None:
        before = len(self.runner.plans)
        self.runner.fail_on = {str(pick % len(self.asked))}
        self.collected.take(self.engine.step().events)
        self.pool.check()
        self.failed |= {
            chunk.request_id for plan in self.runner.plans[before:] for chunk in (*plan.decodes, *plan.prefills)
        } & self.runner.fail_on
        self.runner.fail_on = set()

    def teardown(self) -> None:
        if not hasattr(self, "engine"):
            return
        drain(self.engine, self.collected)
        self.pool.check()
        assert self.pool.used_tokens == 0, "everything is free or cached"
        assert set(self.collected.ends) == set(self.asked)
        for id_, (prompt, max_tokens) in self.asked.items():
            tokens, reason, _ = self.collected.answer(id_)
            want, want_reason = expected(prompt, max_tokens, EOS, context=CONTEXT)
            assert (reason == "StepFailed") == (id_ in self.failed)
            if id_ in self.disturbed | self.failed:
                assert tokens == want[: len(tokens)]
            else:
                assert (tokens, reason) == (want, want_reason)
        self.seen["preemptions"] += self.scheduler.num_preemptions
        self.seen["hits"] += self.pool.prefix_stats.hits
        self.seen["copies"] += sum(type(move).__name__ == "CopyBlock" for move in self.runner.moves)

    def _submit(self, prompt: list[int], max_tokens: int) -> None:
        id_ = str(len(self.asked))
        self.asked[id_] = (prompt, max_tokens)
        self.engine.submit(request(id_, prompt, max_tokens))


@pytest.mark.parametrize("size", [1, 4, 16, 32])
def test_every_answer_equals_the_answer_alone(size: int) -> None:
    class Machine(PagesMachine):
        block_size = size
        seen = {"preemptions": 0, "hits": 0, "copies": 0}  # noqa: RUF012

    run_state_machine_as_test(
        Machine, settings=settings(max_examples=150, stateful_step_count=40, deadline=None, derandomize=True)
    )
    assert Machine.seen["preemptions"] > 20
    assert Machine.seen["hits"] > 1000
    assert Machine.seen["copies"] > 20 or size == 1
