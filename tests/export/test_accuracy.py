"""What quantisation costs a trained model: held-out loss of demo models trained here for a minute."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from attendant_demo import evaluate
from attendant_demo.build import make_model
from attendant_demo.train import Example, TrainSettings, encode
from attendant_export.decoders.session import DecoderSession
from attendant_export.export import export_bundle
from attendant_export.recipe import Recipe

ALLOWED = {"int8": 0.005, "int4": 0.02}
"""Shares of the loss in fp32 that may be added."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Example]]:
    """A model folder, and conversations of phrasings that it never saw."""
    folder = tmp_path_factory.mktemp("trained") / "model"
    settings = TrainSettings(num_threads=1, num_drills=1_500, num_dialogues=2_500)
    _, tokenizer, _ = make_model(folder, settings, lambda line: None)
    asked = [*evaluate.held_out(1, 4, set()), *evaluate.held_out_conversations(1, 40)]
    return folder, list(encode(tokenizer, asked, question_weight=0.0))


def _loss(folder: Path, precision: str, examples: list[Example], out: Path) -> float:
    """Mean of -ln p of the answers' tokens."""
    manifest = export_bundle(folder, out, recipe=Recipe(precision=precision))  # type: ignore[arg-type]
    file = out / manifest.graphs["decoder"].file
    session = DecoderSession(
        file,
        manifest.graphs["decoder"],
        manifest.kv_layers,  # type: ignore[union-attr]
        slots=1,
        max_length=512,
        threads=1,
    )
    total = weight = 0.0
    for example in examples:
        ids = np.array([example.ids], np.int64)
        logits = session.run(slice(0, 1), ids[:, :-1], [0]).astype(np.float64)
        logits -= logits.max(axis=-1, keepdims=True)
        chosen = logits[np.arange(len(logits)), ids[0, 1:]] - np.log(np.exp(logits).sum(axis=-1))
        weights = np.array(example.weights[1:])
        total -= float((chosen * weights).sum())
        weight += float(weights.sum())
    return total / weight


def test_quantised_weights_add_little_to_the_loss(trained: tuple[Path, list[Example]], tmp_path: Path) -> None:
    folder, examples = trained
    plain = _loss(folder, "fp32", examples, tmp_path / "fp32")
    assert plain < 1.5, "the model has learnt something that quantisation could spoil"
    added = {p: _loss(folder, p, examples, tmp_path / p) / plain - 1 for p in ALLOWED}
    print(f"loss {plain:.4f}; added {added}")
    assert all(share <= ALLOWED[precision] for precision, share in added.items()), added
