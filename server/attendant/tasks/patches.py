"""Image files to patches of images that keep their shape."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from attendant.bundle import PatchInput
from attendant.bundle.graph_io import PATCHES
from attendant.core.encoding import Arrays
from attendant.core.errors import InvalidRequest
from attendant.tasks.images import MAX_PIXELS, decoded, scaled

_STEP = 1e-5  # of the search for a scale; as transformers has it, so that sizes are the same
_LARGEST = 100.0


def patches_of(data: bytes, spec: PatchInput, field: str, max_pixels: int = MAX_PIXELS) -> Arrays:
    """What a model reads of an image file, equal to what transformers' Siglip2ImageProcessor makes with Pillow.

    Args:
        data: a file: JPEG, PNG, WebP, GIF or BMP.
        spec: of the model.
        field: names the image in errors.
        max_pixels: an image with more is refused before it is decoded.

    Returns:
        ``pixel_values`` [max_patches, 3 * patch_size ** 2] float32 and ``spatial_shapes`` [2] int64.

    Raises:
        InvalidRequest: as :func:`attendant.tasks.images.pixel_values`; or the image is too narrow.
    """
    image, edge = decoded(data, field, max_pixels), spec.patch_size
    high, wide = patch_grid(image.height, image.width, edge, spec.max_patches)
    if wide == 1 < high:  # torch resizes positions to one column in a way of its own, so what it gives is not known
        size = f"{image.width} x {image.height} pixels"
        raise InvalidRequest(
            field, f"is too narrow ({size}); allowed: at least two of at most {spec.max_patches} patches wide"
        )
    image = image.resize((wide * edge, high * edge), Image.Resampling(spec.resample))
    pixels = scaled(np.asarray(image), spec)
    grid = pixels.reshape(high, edge, wide, edge, 3).transpose(0, 2, 1, 3, 4)  # [high, wide, edge, edge, 3]
    filled = np.zeros((spec.max_patches, 3 * edge * edge), np.float32)
    filled[: high * wide] = grid.reshape(high * wide, -1)
    return {
        PATCHES.pixel_values.name: filled,
        PATCHES.spatial_shapes.name: np.array([high, wide], np.int64),
    }


def patch_grid(height: int, width: int, edge: int, most: int) -> tuple[int, int]:
    """How many patches of ``edge`` pixels an image becomes high and wide: as many as there may be, ``most``, at the
    largest scale at which its edges, rounded up to whole patches, have no more."""

    def grid(scale: float) -> tuple[int, int]:
        high, wide = (max(1, math.ceil(size * scale / edge)) for size in (height, width))
        return high, wide

    low, high = _STEP / 10, _LARGEST
    while high - low >= _STEP:
        middle = (low + high) / 2
        lines, columns = grid(middle)
        low, high = (middle, high) if lines * columns <= most else (low, middle)
    return grid(low)
