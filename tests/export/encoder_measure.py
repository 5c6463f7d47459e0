"""Exports one head of a tiny family and measures its graph against the torch model."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnxruntime as ort
import torch
from attendant.bundle import EncoderManifest, EncoderTask, Precision, TextInput
from attendant_export.encoders.export import encoder_graph
from attendant_export.encoders.plan import EncoderPlan
from attendant_export.encoders.rows import feeds_of, places_of
from attendant_export.encoders.text_plan import EncoderSource, plan_text
from attendant_export.recipe import Recipe

from tests.export.encoder_families import make_model

MASK_ID = 4
LENGTHS = (9, 30, 3, 17)


@dataclass(frozen=True)
class EncoderMeasurement:
    """What one graph is and gives.

    Attributes:
        layout: of its rows. attention, nodes: MultiHeadAttention nodes and all nodes.
        error: the largest over rows alone, in a ragged batch, and in a view wider than they need.
        exact: a row in a batch gets, bit for bit, what it gets alone.
    """

    layout: str
    attention: int
    nodes: int
    error: float
    cosine: float
    exact: bool


class Runner:
    """A finished graph at ``path`` and how rows of tokens go through it; ``plan`` may be the manifest of a bundle."""

    def __init__(self, plan: EncoderPlan | EncoderManifest, path: Path) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.plan = plan
        self.inputs = {value.name for value in self.session.get_inputs()}

    def run(self, rows: Sequence[npt.NDArray[np.int64]]) -> list[npt.NDArray[Any]]:
        """The output of each row: [tokens, width], or [width] for heads over rows."""
        assert isinstance(self.plan.input, TextInput)
        given = {"pad_id": self.plan.input.pad_id, "position_offset": self.plan.input.position_offset}
        feeds = feeds_of(self.plan.layout, rows, **given)  # type: ignore[arg-type]
        places = places_of(self.plan.layout, rows)
        feeds["logits_index"] = places
        feeds = {name: value for name, value in feeds.items() if name in self.inputs}
        output = self.session.run(None, feeds)[0]
        if self.plan.task in ("classify", "rerank") or (self.plan.embedding and self.plan.embedding.pooling is None):
            return list(output)
        flat = output.reshape(-1, output.shape[-1])
        flat = flat if len(flat) == len(places) else flat[places]
        return np.split(flat, np.cumsum([len(row) for row in rows])[:-1])


def saved(plan: EncoderPlan, model: ir.Model, path: Path) -> Runner:
    """A runner of a graph that is in memory."""
    ir.save(model, path)
    return Runner(plan, path)


def make_plan(name: str, head: str, **config: Any) -> EncoderPlan:
    """The plan of one head of a tiny family."""
    model = make_model(name, head, **config)
    if head == "fill_mask":
        model.config.mask_token_id = MASK_ID
    return plan_text(EncoderSource(model, cast(EncoderTask, head)))


def sample_rows(lengths: Sequence[int] = LENGTHS) -> list[npt.NDArray[np.int64]]:
    """Random rows of tokens, the last of which is the end of the text."""
    generator = np.random.default_rng(7)
    rows = [generator.integers(5, 300, length).astype(np.int64) for length in lengths]
    for row in rows:
        row[-1] = 2
    return rows


def measure(name: str, head: str, precision: Precision = "fp32") -> EncoderMeasurement:
    """Exports and compares; see :class:`EncoderMeasurement`."""
    torch.manual_seed(0)
    plan = make_plan(name, head)
    with tempfile.TemporaryDirectory() as folder:
        graph, _ = encoder_graph(plan, Recipe(precision=precision))
        runner = saved(plan, graph, Path(folder) / "encoder.onnx")
        errors, cosines = [], []
        for case in plan.cases():
            feeds = {key: value for key, value in case.feeds.items() if key in runner.inputs}
            found = case.rows_of(runner.session.run(None, feeds)[0])
            errors.append(float(np.abs(found - case.wanted).max()))
            norms = np.linalg.norm(found) * np.linalg.norm(case.wanted)
            cosines.append(float((found * case.wanted).sum() / norms))
        rows = sample_rows()
        together = runner.run(rows)
        alone = [runner.run([row])[0] for row in rows]
        counts = Counter(node.op_type for node in graph.graph)
    return EncoderMeasurement(
        layout=plan.layout,
        attention=counts["MultiHeadAttention"],
        nodes=sum(counts.values()),
        error=max(errors),
        cosine=min(cosines),
        exact=all(np.array_equal(one, other) for one, other in zip(together, alone, strict=True)),
    )
