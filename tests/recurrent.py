"""A recurrent model in a tiny ONNX graph, exact in whole numbers, and its memory: one state for each slot.

Its next token depends on every token before it, through the state alone: a row that was run for nothing, moved, forked
or run twice without care shows in the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from attendant.bundle.graph_io import Port
from attendant.core.plan import Chunk, CopyRow, Feed, Move, StepPlan
from attendant.engine.memory import ANY_LENGTH, SequenceMemory
from attendant.runtime.slot_bindings import bind_in_place
from onnx import TensorProto, helper, numpy_helper

VOCAB = 64
STATES = "states"
PAST, PRESENT = (Port(f"{when}_state_{{i}}", "int64", ("batch", 1), "the state") for when in ("past", "present"))
_MODULUS, _FACTOR, _BASE = 10007, 31, 7


def next_state(state: int, token: int) -> int:
    return (state * _FACTOR + token + _BASE) % _MODULUS


def logits_of(state: int) -> np.ndarray:
    """What the graph gives after a token: [VOCAB] float32, no two alike."""
    return -(((np.arange(VOCAB) * 37 + state * 11) % 997) / 100).astype(np.float32)


def alone(prompt: Sequence[int], max_tokens: int) -> list[int]:
    """The greedy answer to a prompt that is served alone."""
    state, answer = 0, []
    for token in prompt:
        state = next_state(state, token)
    for _ in range(max_tokens):
        answer.append(int(logits_of(state).argmax()))
        state = next_state(state, answer[-1])
    return answer


def make_recurrent_graph(path: Path) -> Any:
    """Write the graph ``decoder`` and return what a runner reads of its manifest."""
    constants = {"factor": _FACTOR, "base": _BASE, "modulus": _MODULUS, "spread": 11, "top": 997}
    shapes = {"flat": np.array([-1, 1], np.int64), "axes": np.array([1], np.int64)}
    tokens = (np.arange(VOCAB, dtype=np.int64) * 37)[None]
    weights = [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in constants.items()]
    weights += [numpy_helper.from_array(value, name) for name, value in shapes.items()]
    weights += [
        numpy_helper.from_array(tokens, "tokens"),
        numpy_helper.from_array(np.array(-100, np.float32), "scale"),
    ]

    def value(name: str, kind: int, *shape: object) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, shape)

    body = helper.make_graph(
        [
            helper.make_node("Mul", ["before", "factor"], ["times"]),
            helper.make_node("Add", ["times", "id"], ["with_id"]),
            helper.make_node("Add", ["with_id", "base"], ["sum"]),
            helper.make_node("Mod", ["sum", "modulus"], ["after"]),
            helper.make_node("Identity", ["after"], ["seen"]),
        ],
        "step",
        [value("before", TensorProto.INT64, "batch"), value("id", TensorProto.INT64, "batch")],
        [value("after", TensorProto.INT64, "batch"), value("seen", TensorProto.INT64, "batch")],
    )
    nodes = [
        helper.make_node("Squeeze", ["past_state_0", "axes"], ["first"]),
        helper.make_node(
            "Scan",
            ["first", "input_ids"],
            ["last", "states"],
            body=body,
            num_scan_inputs=1,
            scan_input_axes=[1],
            scan_output_axes=[1],
        ),
        helper.make_node("Unsqueeze", ["last", "axes"], ["present_state_0"]),
        helper.make_node("Reshape", ["states", "flat"], ["rows"]),
        helper.make_node("Gather", ["rows", "logits_index"], ["picked"]),
        helper.make_node("Mul", ["picked", "spread"], ["shift"]),
        helper.make_node("Add", ["shift", "tokens"], ["shifted"]),
        helper.make_node("Mod", ["shifted", "top"], ["numbers"]),
        helper.make_node("Cast", ["numbers"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["floats", "scale"], ["logits"]),
    ]
    inputs = [
        value("input_ids", TensorProto.INT64, "batch", "sequence"),
        value("logits_index", TensorProto.INT64, "num_logits"),
        value("past_state_0", TensorProto.INT64, "batch", 1),
    ]
    outputs = [
        value("logits", TensorProto.FLOAT, "num_logits", VOCAB),
        value("present_state_0", TensorProto.INT64, "batch", 1),
    ]
    graph = helper.make_graph(nodes, "recurrent", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    model.ir_version = 10
    onnx.save(model, path)
    names = [SimpleNamespace(name=found.name) for found in inputs]
    return SimpleNamespace(graphs={"decoder": SimpleNamespace(inputs=names)}, vocab_size=VOCAB, kv_layers=())


class StateMemory:
    """The account: a state is of all tokens before it, so no prefix of another sequence will do."""

    size, is_missing, longest_chunk, shares_prefixes = 0, False, ANY_LENGTH, False

    def reserve(self) -> bool:
        return True

    def release(self) -> None:
        pass

    def feed(self, request_id: str, slot: int) -> Feed:
        raise AssertionError("nothing is missing")

    def follow(self, origin: int, target: int) -> tuple[Move, ...]:
        return (CopyRow(STATES, origin, target),)

    def fork(self, parent: SequenceMemory, origin: int, target: int) -> tuple[Move, ...]:
        return (CopyRow(STATES, origin, target),)


class StateSlots:
    """The tensors: the state of each slot after ``ends`` tokens, and how it was, after ``starts``, before the latest
    plan that ran the slot."""

    def __init__(self, num_slots: int) -> None:
        self.states = np.full((num_slots, 1), -1, np.int64)
        self.ends = np.full(num_slots, -1)
        self._old_states, self._starts = self.states.copy(), self.ends.copy()
        self._protected: tuple[Sequence[int], np.ndarray] | None = None

    @property
    def num_bytes(self) -> int:
        return self.states.nbytes

    def apply(self, moves: Sequence[Move]) -> None:
        for move in moves:
            if isinstance(move, CopyRow) and move.memory == STATES:
                for tensor in (self.states, self.ends, self._old_states, self._starts):
                    tensor[move.target] = tensor[move.origin]

    def begin(self, plan: StepPlan) -> None:
        begun: set[int] = set()
        for chunk in (*plan.decodes, *plan.prefills):
            if chunk.slot not in begun:
                self._begin_with(chunk)
                begun.add(chunk.slot)
            self.ends[chunk.slot] = chunk.start + len(chunk.tokens)

    def _begin_with(self, chunk: Chunk) -> None:
        slot = chunk.slot
        if chunk.start == 0:
            self.states[slot] = 0
        elif self.ends[slot] != chunk.start:
            assert self._starts[slot] == chunk.start, "a run that failed is repeated from where it began"
            self.states[slot] = self._old_states[slot]
        self._old_states[slot], self._starts[slot] = self.states[slot], chunk.start

    def bind(self, binding: ort.IOBinding, takes: frozenset[str], slots: slice) -> None:
        bind_in_place(binding, takes, (PAST, PRESENT), [self.states], slots)

    def bind_run(self, binding: ort.IOBinding, takes: frozenset[str], slots: slice, total: int) -> None:
        pass

    def protect(self, slots: Sequence[int]) -> None:
        self._protected = slots, self.states[list(slots)]

    def restore(self) -> None:
        assert self._protected is not None
        slots, states = self._protected
        self.states[list(slots)] = states
