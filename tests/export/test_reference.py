"""The reference function of PagedAttention against plain numpy, for every combination of what the exporter emits."""

from __future__ import annotations

import itertools
from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from attendant_export.paged.function import INPUTS
from attendant_export.paged.reference import to_reference

BLOCK_SIZE, NUM_BLOCKS, TABLE = 4, 24, 5
PAST = np.array([5, 0, 9, 3], np.int32)
NEW = np.array([1, 6, 3, 0])  # a decode, a first prefill, a chunk, a sequence without tokens
CONTEXT = BLOCK_SIZE * TABLE
FEATURES = ("window", "softcap", "bidirectional", "rotary", "interleaved", "packed", "no slots", "sink")
CACHES = {"float32": np.float32, "float16": np.float16, "int8": np.int8, "fp8": ml_dtypes.float8_e4m3fn}


class Case:
    """One call: inputs by name, attributes, and the wanted output and caches."""

    def __init__(self, on: frozenset[str], heads: tuple[int, int], head_size: int = 8, cache: str = "float32") -> None:
        self.on, (self.h, self.k), self.d = on, heads, head_size
        self.cache = np.dtype(CACHES[cache])
        self.float = np.float16 if cache == "float16" else np.float32
        self.quantised = cache in ("int8", "fp8")
        self.rng = np.random.default_rng(len(on) + 10 * self.h)
        self.tokens = int(NEW.sum())
        self.table = self.rng.permutation(NUM_BLOCKS)[: 4 * TABLE].reshape(4, TABLE).astype(np.int32)
        self.slots = np.concatenate(
            [self.table[b, at // BLOCK_SIZE] * BLOCK_SIZE + at % BLOCK_SIZE for b, at in self._positions()]
        ).astype(np.int32)
        if "no slots" not in on:
            self.slots[0] = -1  # not written: what the cache holds stays
        q, k, v = (self._random(self.tokens, n, self.d) for n in (self.h, self.k, self.k))
        self.inputs: dict[str, Any] = {
            "query": q.reshape(self.tokens, -1),
            "key": k.reshape(self.tokens, -1),
            "value": v.reshape(self.tokens, -1),
            "cumulative_sequence_length": np.cumsum([0, *NEW]).astype(np.int32),
            "past_seqlens": PAST,
            "block_table": self.table,
            "attention_metadata": np.array([6, CONTEXT, 0], np.int32),
        }
        self.attributes: dict[str, Any] = {"num_heads": self.h, "kv_num_heads": self.k}
        self._add_features()
        for name in ("key_cache", "value_cache"):
            content = self.rng.standard_normal((NUM_BLOCKS, BLOCK_SIZE, self.k, self.d)) * (30 if self.quantised else 1)
            self.inputs[name] = content.astype(self.float).astype(self.cache)
        self.wanted = self._attend(q, k, v)

    def _add_features(self) -> None:
        if "window" in self.on:
            self.attributes["local_window_size"] = 3
        if "softcap" in self.on:
            self.attributes["softcap"] = 2.0
        if "bidirectional" in self.on:
            self.attributes["is_causal"] = 0
        if "rotary" in self.on:
            self.attributes |= {"do_rotary": 1, "rotary_interleaved": int("interleaved" in self.on)}
            angles = self.rng.uniform(0, 6, (CONTEXT, self.d // 4))
            self.inputs |= {
                "cos_cache": np.cos(angles).astype(self.float),
                "sin_cache": np.sin(angles).astype(self.float),
            }
        if "sink" in self.on:
            self.inputs["head_sink"] = self._random(self.h)
        if "no slots" not in self.on:
            self.inputs["slot_mapping"] = self.slots
        if self.quantised:
            self.attributes |= {"k_quant_type": "PER_CHANNEL", "v_quant_type": "PER_TENSOR"}
            self.inputs["k_scale"] = self.rng.uniform(0.02, 0.05, (self.k, 1, self.d)).astype(np.float32)
            self.inputs["v_scale"] = np.array([0.03], np.float32)
        if "packed" in self.on:
            self.inputs["query"] = np.concatenate([self.inputs[n] for n in ("query", "key", "value")], axis=1)
            del self.inputs["key"], self.inputs["value"]

    def _random(self, *shape: int) -> Any:
        return self.rng.standard_normal(shape).astype(self.float)

    def _positions(self) -> list[tuple[int, Any]]:
        return [(b, np.arange(PAST[b], PAST[b] + NEW[b])) for b in range(4)]

    def _attend(self, q: Any, k: Any, v: Any) -> dict[str, Any]:
        """The meaning of the operator, one query and head at a time."""
        q, k, v = (x.astype(np.float64) for x in (q, k, v))
        owner = np.repeat(np.arange(4), NEW)
        position = np.concatenate([at for _, at in self._positions()])
        if "rotary" in self.on:
            q, k = (np.stack([self._rotate(x[t], position[t]) for t in range(self.tokens)]) for x in (q, k))
        caches = {}
        for name, new, scale in (("key_cache", k, "k_scale"), ("value_cache", v, "v_scale")):
            flat = self.inputs[name].reshape(-1, self.k, self.d).copy()
            step = self._step(scale)
            for t, slot in enumerate(self.slots):
                if slot >= 0:
                    flat[slot] = self._store(new[t] / step)
            caches[name] = flat
        output = np.zeros((self.tokens, self.h, self.d))
        for t, head in itertools.product(range(self.tokens), range(self.h)):
            b, at, kv = owner[t], position[t], head // (self.h // self.k)
            where = np.arange(PAST[b] + NEW[b])
            slot = self.table[b, where // BLOCK_SIZE] * BLOCK_SIZE + where % BLOCK_SIZE
            keys = (caches["key_cache"][slot].astype(np.float64) * self._step("k_scale"))[:, kv]
            values = (caches["value_cache"][slot].astype(np.float64) * self._step("v_scale"))[:, kv]
            score = keys @ q[t, head] * self.attributes.get("scale", self.d**-0.5)
            if "softcap" in self.on:
                score = np.tanh(score / 2.0) * 2.0
            allowed = where <= at if "bidirectional" not in self.on else np.full(len(where), True)
            if "window" in self.on:
                allowed &= where > at - 3
            weight = np.where(allowed, np.exp(score), 0)
            total = weight.sum() + (np.exp(float(self.inputs["head_sink"][head])) if "sink" in self.on else 0)
            output[t, head] = weight / total @ values
        return {
            "output": output.reshape(self.tokens, -1),
            **{n: c.reshape(self.inputs[n].shape) for n, c in caches.items()},
        }

    def _rotate(self, x: Any, at: int) -> Any:
        cos, sin = (self.inputs[n][at].astype(np.float64) for n in ("cos_cache", "sin_cache"))
        half, out = self.d // 4, x.copy()
        if "interleaved" in self.on:
            first, second = slice(0, 2 * half, 2), slice(1, 2 * half, 2)
        else:
            first, second = slice(0, half), slice(half, 2 * half)
        out[:, first] = x[:, first] * cos - x[:, second] * sin
        out[:, second] = x[:, second] * cos + x[:, first] * sin
        return out

    def _step(self, name: str) -> Any:
        if not self.quantised:
            return 1.0
        scale = self.inputs[name].astype(np.float64)
        return scale[:, 0] if scale.ndim == 3 else scale[0]

    def _store(self, x: Any) -> Any:
        if self.cache == np.int8:
            return np.clip(np.rint(x.astype(np.float32)), -128, 127).astype(np.int8)
        return (
            x.astype(np.float32).astype(self.cache) if not self.quantised else np.clip(x, -448, 448).astype(self.cache)
        )

    def run(self) -> dict[str, Any]:
        """Runs a graph of one node, as the reference function."""
        values = {
            n: ir.Value(name=n, shape=ir.Shape(a.shape), type=ir.TensorType(ir.DataType.from_numpy(a.dtype)))
            for n, a in self.inputs.items()
        }
        node = ir.node(
            "PagedAttention", [values.get(n) for n in INPUTS], self.attributes, domain="com.microsoft", num_outputs=3
        )
        for output, like, name in zip(
            node.outputs, ("query", "key_cache", "value_cache"), ("output", "key_out", "value_out"), strict=True
        ):
            output.name, output.type = name, values[like].type
            output.shape = ir.Shape([None] * self.inputs[like].ndim)
        graph = ir.Graph(
            list(values.values()),
            list(node.outputs),
            nodes=[node],
            opset_imports={"": 21, "com.microsoft": 1},
            name="case",
        )
        model = to_reference(ir.Model(graph, ir_version=10))
        session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
        feeds = {}
        for name, array in self.inputs.items():
            value = (
                ort.OrtValue.ortvalue_from_numpy(array)
                if array.dtype != CACHES["fp8"]
                else ort.OrtValue.ortvalue_from_numpy_with_onnx_type(
                    array.view(np.uint8), int(ir.DataType.FLOAT8E4M3FN)
                )
            )
            feeds[name] = value
        found = session.run_with_ort_values(["output", "key_out", "value_out"], feeds)
        arrays = [
            value.numpy() if value.data_type() != "tensor(float8e4m3fn)" else value.numpy().view(CACHES["fp8"])
            for value in found
        ]
        return dict(zip(("output", "key_cache", "value_cache"), arrays, strict=True))


def combinations() -> list[frozenset[str]]:
    """All pairs of features, none, and all that go together."""
    sets = [frozenset(pair) for pair in itertools.combinations(FEATURES, 2)]
    full = [
        frozenset(FEATURES),
        frozenset(FEATURES) - {"no slots"},
        frozenset(FEATURES) - {"interleaved", "bidirectional"},
    ]
    return [frozenset(), *(frozenset([f]) for f in FEATURES), *sets, *full]


def check(case: Case, tolerance: float) -> None:
    found = case.run()
    for name, wanted in case.wanted.items():
        if name != "output" and case.quantised:  # a value may round to the next step
            steps = np.abs(found[name].astype(np.float32) - wanted.astype(np.float32))
            assert steps.max() <= (1 if case.cache == np.int8 else 32)
            assert (steps > 0).mean() < 0.01
        else:
            np.testing.assert_allclose(
                found[name].astype(np.float64), wanted.astype(np.float64), atol=tolerance, rtol=0
            )


@pytest.mark.parametrize("on", combinations(), ids=lambda on: "+".join(sorted(on)) or "plain")
def test_every_pair_of_features(on: frozenset[str]) -> None:
    check(Case(on, heads=(4, 2)), 2e-6)


@pytest.mark.parametrize("heads", [(1, 1), (4, 1), (4, 4), (6, 2)])
def test_head_counts(heads: tuple[int, int]) -> None:
    check(Case(frozenset(["rotary", "sink"]), heads), 2e-6)


@pytest.mark.parametrize("on", [frozenset(), frozenset(["rotary", "packed"]), frozenset(["window", "sink", "softcap"])])
@pytest.mark.parametrize(("cache", "tolerance"), [("float16", 4e-3), ("int8", 2e-2), ("fp8", 0.15)])
def test_caches_of_other_types(on: frozenset[str], cache: str, tolerance: float) -> None:
    check(Case(on, heads=(4, 2), cache=cache), tolerance)


def test_an_attribute_it_does_not_know_is_refused() -> None:
    case = Case(frozenset(), heads=(2, 2))
    case.attributes["kv_cache_layout"] = "LATENT"
    with pytest.raises(NotImplementedError, match="kv_cache_layout"):
        case.run()
