"""How good the demo model for images is, on pictures that it never saw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from attendant.bundle import EncoderManifest, read_any_manifest
from attendant.bundle.graph_io import IMAGES, ROW_LOGITS
from attendant_export.session import open_session

from attendant_demo.shapes.draw import LABELS, drawings
from attendant_demo.shapes.train import tensors

Floats = npt.NDArray[np.float32]
Classifier = Callable[[Floats], Floats]
"""pixel_values [n, 3, height, width] to logits [n, num_labels], float32."""

_HELD_OUT = "held out"
_BATCH = 100


@dataclass(frozen=True)
class Score:
    """Shares of held-out pictures named rightly, in all and by label, and the mean probability of what was named."""

    pictures: int
    accuracy: float
    by_label: dict[str, float]
    confidence: float


def score(classify: Classifier, pictures: int = 2000) -> Score:
    """Names ``pictures`` held-out drawings."""
    pixels, labels = tensors(drawings(_HELD_OUT, pictures))
    parts = [classify(pixels[start : start + _BATCH].numpy()) for start in range(0, pictures, _BATCH)]
    logits = np.concatenate(parts)  # [pictures, num_labels]
    right = logits.argmax(axis=-1) == labels.numpy()
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return Score(
        pictures,
        round(float(right.mean()), 4),
        {label: round(float(right[labels.numpy() == index].mean()), 4) for index, label in enumerate(LABELS)},
        round(float((weights.max(axis=-1) / weights.sum(axis=-1)).mean()), 4),
    )


def torch_classifier(model: torch.nn.Module) -> Classifier:
    """A classifier by the model as it was trained."""

    def classify(pixels: Floats) -> Floats:
        with torch.no_grad():
            logits: Floats = model(pixel_values=torch.from_numpy(pixels)).logits.numpy()
        return logits

    return classify


def bundle_classifier(bundle: Path, threads: int = 1) -> Classifier:
    """A classifier by an exported bundle."""
    manifest = read_any_manifest(bundle)
    assert isinstance(manifest, EncoderManifest)
    session = open_session(bundle / manifest.graphs["encoder"].file, threads=threads)

    def classify(pixels: Floats) -> Floats:
        logits: Floats = session.run([ROW_LOGITS.name], {IMAGES.pixel_values.name: pixels})[0]
        return logits

    return classify
