"""Measures one architecture: errors against the torch model, the make of its graph, and whether batching is exact."""

from __future__ import annotations

import copy
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from attendant_export.calibration_runs import prompt_runs
from attendant_export.decoders.architectures import context_length
from attendant_export.decoders.decoder import trace_decoder
from attendant_export.decoders.families import reference_attention
from attendant_export.decoders.graphs import kv_layers
from attendant_export.decoders.session import DecoderSession
from attendant_export.graph.files import describe
from attendant_export.graph.passes import rewrite
from attendant_export.graph.ragged import allow_ragged_rows
from attendant_export.quantisation.quantise import quantise

from tests.export.architectures import build
from tests.export.shapes import VOCAB

LENGTH = 40  # five times the window of windowed models
FUSED = ("SkipSimplifiedLayerNormalization", "SkipLayerNormalization", "SimplifiedLayerNormalization")
NORMS = (*FUSED, "LayerNormalization", "RMSNormalization")
ROWS = 4
_STARTS = (20, 7, 13, 2)  # prompt lengths of the rows that decode together


@dataclass(frozen=True)
class Measurement:
    """Errors are the largest absolute differences of logits; ``spread``: standard deviation of the model's logits."""

    errors: dict[str, float]
    spread: float
    nodes: int
    attention: int
    rotary_inside: int
    norms: int
    matmuls: int
    exact_batch: bool
    exact_chunks: bool


class Subject:
    """The graph of a model, saved in ``folder``, as sessions over fresh caches.

    Attributes:
        model, graph: as before the last pass of an export, which lets rows differ in length; sessions run it after.
    """

    def __init__(self, model: Any, folder: Path) -> None:
        length = context_length(model)
        traced = trace_decoder(model, length)
        rewrite(traced.model, length)
        self.layers = kv_layers(traced.layers)
        self._save(traced.model, folder / "fp32.onnx")

    def _save(self, model: ir.Model, path: Path) -> None:
        self.model, self.graph, self.path = model, model.graph, path
        finished = model.clone()
        allow_ragged_rows(finished.graph)
        self.entry = describe(finished.graph, path.name)
        ir.save(finished, path, external_data=f"{path.name}.data")

    def at(self, precision: str) -> Subject:
        """The same graph in another precision."""
        if precision == "fp32":
            return self
        other = copy.copy(self)
        model = self.model.clone()
        windows = np.random.default_rng(4).integers(3, VOCAB, (4, LENGTH))
        quantise(model, precision, prompt_runs(self.layers, windows))  # type: ignore[arg-type]
        other._save(model, self.path.with_name(f"{precision}.onnx"))
        return other

    def session(self, *, slots: int = ROWS, max_length: int = 64, threads: int = 1) -> DecoderSession:
        return DecoderSession(self.path, self.entry, self.layers, slots=slots, max_length=max_length, threads=threads)


def measure(name: str) -> Measurement:
    """Exports the tiny model of ``name`` in fp32 and runs it."""
    model = build(name)
    tokens = np.random.default_rng(3).integers(3, VOCAB, (ROWS, LENGTH))
    with torch.no_grad(), reference_attention(model):
        wanted = model(torch.from_numpy(tokens), use_cache=False).logits.numpy()
    with tempfile.TemporaryDirectory() as folder:
        subject = Subject(model, Path(folder))
        ops = Counter(node.op_type for node in subject.graph)
        rotary = sum("do_rotary" in node.attributes for node in subject.graph)
        session = subject.session()
        return Measurement(
            errors=_errors(session, tokens, wanted),
            spread=float(wanted.std()),
            nodes=sum(ops.values()),
            attention=ops["GroupQueryAttention"],
            rotary_inside=rotary,
            norms=sum(ops[op] for op in NORMS),
            matmuls=ops["MatMul"],
            exact_batch=exact_batch(session, tokens),
            exact_chunks=exact_chunks(session, tokens),
        )


def _errors(session: DecoderSession, tokens: Any, wanted: Any) -> dict[str, float]:
    errors = {}
    errors["prefill"] = _largest(session.run(slice(0, 1), tokens[:1], [0]), wanted[0])
    errors["chunks"] = _largest(run_chunks(session, 1, tokens[1], (9, 1, 12, 2, 16)), wanted[1])

    width = max(_STARTS)
    ends = [row * width + length - 1 for row, length in enumerate(_STARTS)]
    found = session.run(slice(0, ROWS), tokens[:, :width], [0] * ROWS, _STARTS, ends)
    last = np.stack([wanted[row, length - 1] for row, length in enumerate(_STARTS)])
    errors["ragged prefill"] = _largest(found, last)
    worst = 0.0
    for step in range(LENGTH - width):
        at = [length + step for length in _STARTS]
        found = session.run(slice(0, ROWS), np.stack([tokens[row, [at[row]]] for row in range(ROWS)]), at)
        worst = max(worst, _largest(found, np.stack([wanted[row, at[row]] for row in range(ROWS)])))
    errors["ragged decode"] = worst
    return errors


def run_chunks(session: DecoderSession, slot: int, tokens: Any, sizes: tuple[int, ...]) -> Any:
    """Prefills one slot in chunks; returns the logits of all positions."""
    parts, start = [], 0
    for size in sizes:
        parts.append(session.run(slice(slot, slot + 1), tokens[None, start : start + size], [start]))
        start += size
    return np.concatenate(parts)


def cached(session: DecoderSession, slot: int, length: int) -> list[Any]:
    """Copies of the valid part of a slot's caches."""
    return [cache[slot, :, :length].copy() for pair in session.caches for cache in pair]


def exact_chunks(session: DecoderSession, tokens: Any, *, length: int = LENGTH) -> bool:
    """Whether a prompt in chunks of two and more tokens gives the bits of the prompt in one run, cache included."""
    whole = session.run(slice(0, 1), tokens[:1, :length], [0])
    caches = cached(session, 0, length)
    for sizes in ((2, 3, length - 5), (length - 2, 2), (7, 8, length - 15), (16, length - 16)):
        assert min(sizes) > 1, "a single token is computed by another kernel"
        if not np.array_equal(run_chunks(session, 1, tokens[0, :length], sizes), whole):
            return False
        if not all(map(np.array_equal, cached(session, 1, length), caches)):
            return False
    return True


def exact_batch(session: DecoderSession, tokens: Any, *, steps: int = 6) -> bool:
    """Whether rows that decode together get the bits they get alone, cache included."""
    rows = len(session.caches[0][0])
    lengths = [2 + (7 * row) % 19 for row in range(rows)]

    def prefill() -> None:
        for row, length in enumerate(lengths):
            session.run(slice(row, row + 1), tokens[row : row + 1, :length], [0], logits_index=[])

    prefill()
    alone = [
        [session.run(slice(row, row + 1), tokens[row : row + 1, [at]], [at]) for at in range(length, length + steps)]
        for row, length in enumerate(lengths)
    ]
    caches = [cached(session, row, length + steps) for row, length in enumerate(lengths)]
    for batch in {2, 3, rows // 2, rows} - {0, 1}:
        prefill()
        for step in range(steps):
            at = [length + step for length in lengths[:batch]]
            found = session.run(slice(0, batch), np.stack([tokens[row, [at[row]]] for row in range(batch)]), at)
            if not all(np.array_equal(found[row], alone[row][step][0]) for row in range(batch)):
                return False
        for row in range(batch):
            if not all(map(np.array_equal, cached(session, row, lengths[row] + steps), caches[row])):
                return False
    return True


def _largest(found: Any, wanted: Any) -> float:
    return float(np.abs(found - wanted).max())
