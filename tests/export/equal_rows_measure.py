"""Exports tiny models that see or hear, whose rows are equally long, and measures the graphs against torch."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Literal, cast

import numpy as np
import onnx_ir as ir
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


def measure_equal_rows(plan: EncoderPlan) -> EncoderMeasurement:
    """Exports in fp32 and compares. ``exact`` is of rows alone, by twos and threes beside all five."""
    graph, _ = encoder_graph(plan, Recipe())
    counts = Counter(node.op_type for node in graph.graph)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "encoder.onnx"
        ir.save(graph, path)
        parity = verify_encoder(path, plan.cases(), Recipe())
        session = open_session(path, threads=1)
        first = plan.cases()[0].feeds
        rows = {key: np.concatenate([value, (value[:2] * 0.5).astype(value.dtype)]) for key, value in first.items()}
        together = session.run(None, rows)[0]
        exact = all(
            np.array_equal(session.run(None, {key: value[chosen] for key, value in rows.items()})[0], together[chosen])
            for chosen in _SETS
        )
    return EncoderMeasurement(
        layout=plan.layout,
        attention=counts["MultiHeadAttention"],
        nodes=sum(counts.values()),
        error=parity.max_abs_error,
        cosine=parity.cosine,
        exact=exact,
    )
