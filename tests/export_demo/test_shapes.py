"""The demo model for images: drawings, a short run, and the committed bundle."""

from __future__ import annotations

import io
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attendant.bundle import EncoderManifest, read_any_manifest, verify_files
from attendant.demo import demo_bundle
from attendant.tasks.images import pixel_values
from attendant_demo.shapes.draw import LABELS, SIZE, draw_one, drawings
from attendant_demo.shapes.evaluate import bundle_classifier, score
from attendant_demo.shapes.train import TrainSettings, build_model, tensors, train
from PIL import Image, ImageDraw

BUNDLE = demo_bundle().parent / "shapes"
SHORT = TrainSettings(num_pictures=160, batch_size=16, num_layers=1, warmup_steps=2)


@pytest.fixture(scope="module")
def classify() -> Any:
    return bundle_classifier(BUNDLE)


@pytest.fixture(scope="module")
def manifest() -> EncoderManifest:
    found: Any = read_any_manifest(BUNDLE)
    assert isinstance(found, EncoderManifest)
    return found


def test_the_same_seed_draws_the_same_pictures() -> None:
    first, again, other = ([d.image.tobytes() for d in drawings(seed, 16)] for seed in (5, 5, 6))
    assert first == again
    assert not set(first) & set(other)


def test_every_label_is_drawn_as_often() -> None:
    labels = [drawing.label for drawing in drawings(3, 4 * len(LABELS))]
    assert sorted(labels) == sorted(4 * LABELS)


@pytest.mark.parametrize("label", LABELS)
def test_a_shape_is_there_to_be_seen(label: str) -> None:
    rng = random.Random(label)
    for _ in range(20):
        drawing = draw_one(label, rng)
        assert (drawing.image.size, drawing.image.mode, drawing.label) == ((SIZE, SIZE), "RGB", label)
        assert np.asarray(drawing.image).std(axis=(0, 1)).max() > 5
        assert (drawing.mask.size, drawing.mask.mode) == ((SIZE, SIZE), "L")
        brightness = np.asarray(drawing.image.convert("L"), np.float32)
        inside = np.asarray(drawing.mask) > 127
        apart = abs(brightness[inside].mean() - brightness[~inside].mean())
        assert apart > 30, "the mask lies over the shape, whose brightness is another than the ground's"


def test_pixels_are_those_that_the_server_makes(manifest: EncoderManifest) -> None:
    drawing = next(drawings("any", 1))
    stream = io.BytesIO()
    drawing.image.save(stream, "PNG")
    served = pixel_values(stream.getvalue(), manifest.input, "images[0]")  # type: ignore[arg-type]
    assert np.abs(served - tensors([drawing])[0][0].numpy()).max() < 1e-6


def test_the_same_settings_train_the_same_model() -> None:
    threads = torch.get_num_threads()
    try:
        first, again, other = (
            train(build_model(settings), settings, lambda line: None)
            for settings in (SHORT, SHORT, replace(SHORT, seed=4))
        )
    finally:
        torch.set_num_threads(threads)
    assert first == again
    assert first != other
    assert sum(first[-3:]) < sum(first[:3])


def test_the_bundle_is_whole_and_small(manifest: EncoderManifest) -> None:
    verify_files(BUNDLE, manifest)
    assert sum(file.stat().st_size for file in BUNDLE.rglob("*") if file.is_file()) <= 2_000_000
    assert (manifest.name, manifest.task, manifest.precision) == ("shapes", "classify_image", "int8")
    assert manifest.labels == LABELS


def test_it_names_pictures_that_it_never_saw(classify: Any) -> None:
    found = score(classify, 800)
    assert found.accuracy > 0.95
    assert min(found.by_label.values()) > 0.85
    assert found.confidence > 0.9


def plain(label: str, size: tuple[int, int]) -> bytes:
    """What a person would draw: red on white, upright, in the middle."""
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    (x, y), r = (size[0] / 2, size[1] / 2), min(size) * 0.35
    box = (x - r, y - r, x + r, y + r)
    if label == "circle":
        draw.ellipse(box, fill="red")
    elif label == "ring":
        draw.ellipse(box, outline="red", width=round(r / 3))
    elif label == "square":
        draw.rectangle(box, fill="red")
    elif label == "triangle":
        draw.polygon([(x, y - r), (x - r, y + r), (x + r, y + r)], fill="red")
    elif label == "cross":
        draw.rectangle((x - r, y - r / 5, x + r, y + r / 5), fill="red")
        draw.rectangle((x - r / 5, y - r, x + r / 5, y + r), fill="red")
    elif label == "stripes":
        for left in range(0, size[0], size[0] // 5):
            draw.rectangle((left, 0, left + size[0] // 10, size[1]), fill="red")
    stream = io.BytesIO()
    image.save(stream, "JPEG")
    return stream.getvalue()


@pytest.mark.parametrize("label", ["circle", "ring", "square", "triangle", "cross", "stripes"])
def test_it_names_what_a_person_would_draw(classify: Any, manifest: EncoderManifest, label: str) -> None:
    values = pixel_values(plain(label, (300, 300)), manifest.input, "images[0]")  # type: ignore[arg-type]
    assert LABELS[int(classify(values[None]).argmax())] == label


def test_a_row_does_not_depend_on_its_batch(classify: Any) -> None:
    pixels = tensors(drawings("batch", 7))[0].numpy()
    together = classify(pixels)
    alone = np.concatenate([classify(pixels[row : row + 1]) for row in range(len(pixels))])
    assert np.abs(together - alone).max() < 1e-4


def test_the_build_makes_model_bundle_and_report(tmp_path: Path) -> None:
    from attendant_demo.shapes.build import main

    assert main([str(tmp_path), "--pictures", "128"]) == 0
    assert (tmp_path / "report.json").is_file()
    assert read_any_manifest(tmp_path / "bundle").name == "shapes"
