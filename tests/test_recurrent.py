"""Memory that is no KV cache: a recurrent state goes through scheduler, pool and runner; answers are those alone."""

from __future__ import annotations

import ast
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attendant.engine
import pytest
from attendant.core.beams import BeamParams
from attendant.core.plan import CopyRow, Move, StepPlan
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.engine.chunking import FreeCuts
from attendant.engine.engine import Engine
from attendant.engine.limits import SchedulerLimits
from attendant.engine.scheduler import Scheduler
from attendant.engine.slot_pool import SlotPool
from attendant.runtime.kv import SlotBuffers
from attendant.runtime.memory import SlotMemory
from attendant.runtime.session import SessionOptions, open_session
from attendant.runtime.slot_runner import SlotRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.helpers import Collected, drain, request
from tests.recurrent import StateMemory, StateSlots, alone, make_recurrent_graph

CONTEXT, NUM_SEQS = 48, 4


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    path = tmp_path_factory.mktemp("recurrent") / "decoder.onnx"
    manifest = make_recurrent_graph(path)
    return manifest, open_session(path, SessionOptions())


class Watched:
    """An engine of the model, and the plans that it carried out."""

    def __init__(self, model: tuple[Any, Any], capacity: int = 96, states: SlotMemory | None = None) -> None:
        manifest, session = model
        states = states or StateSlots(NUM_SEQS)
        self.runner = SlotRunner(session, manifest, SlotBuffers((), NUM_SEQS, CONTEXT), (states,))
        limits = SchedulerLimits(NUM_SEQS, 12, CONTEXT, rule=FreeCuts((16,)), memories=lambda request: (StateMemory(),))
        self.scheduler = Scheduler(SlotPool(NUM_SEQS, CONTEXT, capacity), limits)
        self.plans: list[StepPlan] = []
        self.faults: set[str] = set()
        self.engine = Engine(self.scheduler, self)

    def move(self, moves: Any) -> None:
        self.runner.move(moves)

    def run(self, plan: StepPlan) -> Any:
        """Raises, after everything has been computed, where a request of ``faults`` takes part."""
        self.plans.append(plan)
        output = self.runner.run(plan)
        if self.faults & set(plan.requests):
            raise RuntimeError("the device raised")
        return output


def test_holes_moves_and_preemption_leave_every_state_whole(model: tuple[Any, Any]) -> None:
    watched = Watched(model)
    prompts = {str(i): [(5 * i + 3 * j) % 60 for j in range(2 + 3 * i)] for i in range(8)}
    lengths = {id_: 14 + 5 * (int(id_) % 3) for id_ in prompts}
    for id_, prompt in prompts.items():
        watched.engine.submit(request(id_, prompt, lengths[id_]))
    collected = drain(watched.engine)
    assert dict(collected.tokens) == {id_: alone(prompt, lengths[id_]) for id_, prompt in prompts.items()}
    assert any(plan.fillers for plan in watched.plans)
    assert watched.scheduler.num_preemptions > 0


def test_a_state_follows_its_sequence_into_a_hole(model: tuple[Any, Any]) -> None:
    watched = Watched(model)
    moved: list[CopyRow] = []
    move = watched.runner.move

    def note(moves: Sequence[Move]) -> None:
        moved.extend(m for m in moves if isinstance(m, CopyRow))
        move(moves)

    watched.runner.move = note  # type: ignore[method-assign]
    watched.engine.submit(request("short", [9, 9, 9], 2))
    watched.engine.submit(request("long", [8, 7], 30))
    assert drain(watched.engine).tokens["long"] == alone([8, 7], 30)
    assert moved == [CopyRow("states", 1, 0)]


def test_without_protection_a_row_that_runs_for_nothing_loses_its_state(model: tuple[Any, Any]) -> None:
    class Careless(StateSlots):
        def protect(self, slots: Any) -> None:
            pass

        def restore(self) -> None:
            pass

    answers = []
    for states in (StateSlots(NUM_SEQS), Careless(NUM_SEQS)):
        watched = Watched(model, states=states)
        watched.engine.submit(request("short", [2, 2], 2))
        watched.engine.submit(request("other", [3, 3], 20))
        collected = Collected()
        while "short" not in collected.ends:
            collected.take(watched.engine.step().events)
        watched.engine.submit(request("long", [1] * 30, 8))  # in chunks, in the slot below one that decodes
        answers.append(drain(watched.engine, collected).tokens["long"] == alone([1] * 30, 8))
        assert any(plan.fillers for plan in watched.plans)
    assert answers == [True, False]


def test_beams_have_states_of_their_own(model: tuple[Any, Any]) -> None:
    def searched(*others: Request) -> list[list[int]]:
        watched = Watched(model)
        for other in others:
            watched.engine.submit(other)
        ids = ("beams", "beams.1")
        params = SamplingParams(max_tokens=12)
        beams = BeamParams(2, 2)
        watched.engine.submit(Request("beams", (4, 5, 6), params, time.monotonic_ns(), beams=beams, hypotheses=ids))
        collected = drain(watched.engine)
        return [collected.tokens[id_] for id_ in ids]

    found = searched()
    assert found[0] != found[1]
    assert searched(request("a", [3] * 9, 9), request("b", [1, 2], 17)) == found


PROMPT = st.lists(st.integers(0, 60), min_size=1, max_size=20)
EVENT = st.one_of(
    st.tuples(st.just("submit"), PROMPT, st.integers(1, 24)),
    st.tuples(st.just("step"), st.integers(1, 9)),
    st.tuples(st.just("cancel"), st.integers(0, 12)),
    st.tuples(st.just("fault"), st.integers(0, 12)),
)


@settings(max_examples=120, deadline=None, derandomize=True, database=None)
@given(st.lists(EVENT, min_size=4, max_size=24), st.integers(CONTEXT, 100))
def test_answers_are_those_alone_whatever_comes_goes_and_fails(
    model: tuple[Any, Any], events: list[tuple[Any, ...]], capacity: int
) -> None:
    watched, collected = Watched(model, capacity), Collected()
    asked: dict[str, tuple[list[int], int]] = {}
    for kind, *what in events:
        if kind == "submit":
            id_ = str(len(asked))
            asked[id_] = (what[0], what[1])
            watched.engine.submit(request(id_, *what))
        elif kind == "step":
            for _ in range(what[0] if watched.engine.has_work else 0):
                collected.take(watched.engine.step().events)
        elif kind == "cancel":
            watched.engine.cancel(str(what[0]))
        else:
            watched.faults.add(str(what[0]))
    if watched.engine.has_work:
        drain(watched.engine, collected)
    collected.take(watched.scheduler.take_events())
    watched.engine.check()
    assert collected.ends.keys() == asked.keys()
    for id_, (prompt, max_tokens) in asked.items():
        tokens, reason, _ = collected.answer(id_)
        assert tokens == alone(prompt, max_tokens)[: len(tokens)]
        assert reason in ("length", "cancelled") or (reason == "StepFailed" and id_ in watched.faults)
        assert reason != "length" or len(tokens) == max_tokens


def test_only_the_sequence_itself_says_where_it_is_and_how_far() -> None:
    written = set()
    for path in Path(attendant.engine.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                written |= {path.name} if node.attr in ("slot", "num_computed") else set()
    assert written == {"sequence.py"}
