"""Exports tiny models that see or hear, whose rows are equally long, and measures the graphs against torch."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnxruntime as ort
from attendant_export.encoders.export import encoder_graph
from attendant_export.encoders.plan import EncoderPlan
from attendant_export.encoders.sounds import plan_labels
from attendant_export.encoders.verify import verify_encoder
from attendant_export.encoders.vision import plan_images
from attendant_export.recipe import Recipe
from attendant_export.session import open_session

from tests.export.encoder_measure import EncoderMeasurement
from tests.export.image_families import FAMILIES, make_image_model
from tests.export.sound_families import make_extractor, make_sound_model

_SETS = ([0], [1], [4], [1, 2], [0, 1, 3])


def make_image_plan(name: str, head: str) -> EncoderPlan:
    """The plan of one head of a tiny family."""
    import transformers

    edge = FAMILIES[name].size
    processor = transformers.ViTImageProcessorPil(size={"height": edge, "width": edge})
    task = cast(Literal["classify_image", "embed_image"], head)
    return plan_images(make_image_model(name, head), processor, task)


def make_sound_plan(name: str) -> EncoderPlan:
    """The plan of a tiny family that labels recordings."""
    return plan_labels(make_sound_model(name), make_extractor(name))


def rows_are_exact(session: ort.InferenceSession, rows: Mapping[str, npt.NDArray[Any]]) -> bool:
    """Whether rows of five have, alone, by twos and by threes, the output that they have among all, to the bit."""
    together = session.run(None, dict(rows))[0]
    return all(
        np.array_equal(session.run(None, {key: value[chosen] for key, value in rows.items()})[0], together[chosen])
        for chosen in _SETS
    )


def measure_equal_rows(plan: EncoderPlan) -> EncoderMeasurement:
    """Exports in fp32 and compares. ``exact`` is of rows alone, by twos and threes beside all five, with one thread and
    with two."""
    graph, _ = encoder_graph(plan, Recipe())
    counts = Counter(node.op_type for node in graph.graph)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "encoder.onnx"
        ir.save(graph, path)
        parity = verify_encoder(path, plan.cases(), Recipe())
        first = plan.cases()[0].feeds
        rows = {key: np.concatenate([value, (value[:2] * 0.5).astype(value.dtype)]) for key, value in first.items()}
        exact = all(rows_are_exact(open_session(path, threads=threads), rows) for threads in (1, 2))
    return EncoderMeasurement(
        layout=plan.layout,
        attention=counts["MultiHeadAttention"],
        nodes=sum(counts.values()),
        error=parity.max_abs_error,
        cosine=parity.cosine,
        exact=exact,
    )
