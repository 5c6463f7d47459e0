"""Patches of images that keep their shape: those of transformers."""

from __future__ import annotations

import io

import numpy as np
import pytest
from attendant.bundle import PatchInput
from attendant.core.errors import InvalidRequest
from attendant.tasks.patches import patch_grid, patches_of
from PIL import Image

SPEC = PatchInput(patch_size=8, max_patches=30, mean=(0.5, 0.4, 0.3), std=(0.5, 0.6, 0.7))


def picture(width: int, height: int) -> bytes:
    rough = np.random.default_rng(width).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("size", [(70, 50), (20, 33), (40, 40), (300, 21), (5, 4)])
def test_they_are_those_of_siglip2(size: tuple[int, int]) -> None:
    transformers = pytest.importorskip("transformers")
    processor = transformers.Siglip2ImageProcessorPil(
        patch_size=8, max_num_patches=30, image_mean=SPEC.mean, image_std=SPEC.std
    )
    image = picture(*size)
    wanted = processor(images=Image.open(io.BytesIO(image)), return_tensors="np")
    found = patches_of(image, SPEC, "images[0]")
    assert found["spatial_shapes"].tolist() == wanted["spatial_shapes"][0].tolist()
    assert found["pixel_values"].dtype == np.float32
    assert np.abs(found["pixel_values"] - wanted["pixel_values"][0]).max() < 1e-5
    assert int(found["spatial_shapes"].prod()) == int(wanted["pixel_attention_mask"].sum())


def test_grids_are_those_of_siglip2() -> None:
    assert patch_grid(224, 224, 16, 256) == (16, 16)
    module = pytest.importorskip("transformers.models.siglip2.image_processing_pil_siglip2")
    draw = np.random.default_rng(0)
    for height, width in draw.integers(1, 3000, (100, 2)).tolist():
        wanted = module.get_image_size_for_max_num_patches(height, width, 16, 256)
        assert tuple(16 * count for count in patch_grid(height, width, 16, 256)) == wanted


def test_an_image_of_one_column_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="is too narrow \\(2 x 600 pixels\\)"):
        patches_of(picture(2, 600), SPEC, "images[0]")
