"""The demo model for images looks at the shape that it names: more of its attention lies there than of the picture."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import pytest
from attendant.bundle import EncoderManifest, ImageInput, read_any_manifest
from attendant.core.attention import AttentionModel, AttentionSubject
from attendant.demo import demo_bundle
from attendant.models.attention import attention_of
from attendant.tasks.images import pixel_values
from attendant_demo.shapes.draw import LABELS, Drawing, drawings

TEXTURES = ("stripes", "checkerboard")  # they fill the picture
PICTURES = 240
MORE = 1.3  # times what lies there by chance, in the mean: measured 1.42
LEAST = 0.9  # of the pictures: measured .94
ROUND = 0.5  # of the circles, whose edge is looked at more than their inside

Floats = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def shares() -> dict[str, list[float]]:
    """By label, for each picture: attention rollout of the class token within the shape, over the shape's share of the
    picture."""
    bundle = demo_bundle().parent / "shapes"
    manifest = read_any_manifest(bundle)
    assert isinstance(manifest, EncoderManifest)
    assert isinstance(manifest.input, ImageInput)
    model = attention_of(bundle, manifest, 1)
    assert model is not None
    found: dict[str, list[float]] = {label: [] for label in LABELS if label not in TEXTURES}
    for drawing in drawings("held out", PICTURES):
        if drawing.label in found:
            found[drawing.label].append(share_in_shape(model, manifest.input, drawing))
    return found


def share_in_shape(model: AttentionModel, spec: ImageInput, drawing: Drawing) -> float:
    stream = io.BytesIO()
    drawing.image.save(stream, "PNG")
    pixels = pixel_values(stream.getvalue(), spec, "image")
    (run,) = model.runs(AttentionSubject({"pixel_values": pixels}))
    patches = rollout([part.weights for part in run.parts])[0, 1:]  # of the class token, which is the first
    side = int(len(patches) ** 0.5)
    mask = np.asarray(drawing.mask, np.float64) / 255
    size = len(mask) // side
    covered = mask.reshape(side, size, side, size).mean(axis=(1, 3)).ravel()  # [patches]: how much is shape
    return float(patches @ covered / patches.sum() / mask.mean())


def rollout(layers: list[npt.NDArray[np.float32]]) -> Floats:
    """Abnar and Zuidema 2020, equation 1: half the mean of a layer's heads and half the identity, multiplied up.
    [queries, keys]."""
    found = np.eye(layers[0].shape[-1])
    for weights in layers:
        found = (0.5 * weights.mean(axis=0) + 0.5 * np.eye(len(found))) @ found
    return found


def test_more_attention_lies_on_the_shape_than_by_chance(shares: dict[str, list[float]]) -> None:
    everything = np.array([share for each in shares.values() for share in each])
    assert len(everything) == PICTURES * 6 // 8
    assert everything.mean() >= MORE
    assert (everything > 1).mean() >= LEAST


@pytest.mark.parametrize("label", [label for label in LABELS if label not in TEXTURES])
def test_that_is_so_of_each_shape(shares: dict[str, list[float]], label: str) -> None:
    found = np.array(shares[label])
    assert found.mean() > 1
    assert (found > 1).mean() >= (ROUND if label == "circle" else LEAST)
