"""Images in patches that keep their shape, as SigLIP 2 takes them, and positions that a graph can compute."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from attendant.bundle import PatchInput
from attendant.bundle.graph_io import PATCHES

from attendant_export.encoders.trace import Feeds
from attendant_export.tracing.methods import replaced

_EMBEDDINGS = "Siglip2VisionEmbeddings"
_GRIDS = ((1.0, 1.0), (0.5, 0.5), (0.75, 0.5))
"""Of samples: the parts of the largest square that they are high and wide."""


def patch_keywords(feeds: Feeds) -> dict[str, torch.Tensor]:
    """What a model's forward takes: the patches, which of them are of the image, and its shape."""
    pixels, shapes = feeds[PATCHES.pixel_values.name], feeds[PATCHES.spatial_shapes.name]
    count = shapes[:, :1] * shapes[:, 1:]  # [rows, 1]
    mask = (torch.arange(pixels.shape[1])[None] < count).to(torch.int64)  # [rows, max_patches]
    return {"pixel_values": pixels, "pixel_attention_mask": mask, "spatial_shapes": shapes}


@contextmanager
def patched_positions(model: Any) -> Iterator[None]:
    """While in it, ``model`` computes the positions of all rows at once, as sums of its table's entries."""

    def resize(self: Any, *args: Any, **keywords: Any) -> torch.Tensor:  # a static method, so nobody gives it self
        return resized_positions(*args, **keywords)

    found = [module for module in model.modules() if type(module).__name__ == _EMBEDDINGS]
    with replaced((module, "resize_positional_embeddings", resize) for module in found):
        yield


def patch_samples(takes: PatchInput) -> dict[str, torch.Tensor]:
    """Three rows of patches with some noise, scaled as the model's images are, of images of several shapes."""
    generator = torch.Generator().manual_seed(0)
    edge = int(takes.max_patches**0.5)
    shapes = torch.tensor([[max(1, int(edge * part)) for part in grid] for grid in _GRIDS])
    colours = torch.rand((3, takes.max_patches, takes.patch_size**2, 3), generator=generator) * 255 * takes.rescale
    pixels = ((colours - torch.tensor(takes.mean)) / torch.tensor(takes.std)).flatten(2)
    real = torch.arange(takes.max_patches)[None] < shapes.prod(dim=1, keepdim=True)
    return {PATCHES.pixel_values.name: pixels * real[..., None], PATCHES.spatial_shapes.name: shapes}


def resized_positions(
    positional_embeddings: torch.Tensor, spatial_shapes: torch.Tensor, max_length: int
) -> torch.Tensor:
    """[rows, max_length, width]: a table [edge, edge, width] resized to shapes [rows, 2], line by line.

    The same as bilinear interpolation with antialiasing for each row; after a row's last patch there is something.
    """
    table, shapes = positional_embeddings, spatial_shapes
    place = torch.arange(max_length)[None]  # [1, max_length]
    lines = _weights(place // shapes[:, 1:], shapes[:, :1], table.shape[0])
    columns = _weights(place % shapes[:, 1:], shapes[:, 1:], table.shape[1])
    both = (lines[..., :, None] * columns[..., None, :]).flatten(2)  # [rows, max_length, edge * edge]
    return (both @ table.flatten(0, 1).float()).to(table.dtype)


def _weights(place: torch.Tensor, size: torch.Tensor, edge: int) -> torch.Tensor:
    """[rows, places, edge]: of each entry of an axis at each of ``place`` [rows, places] of an axis of ``size``
    [rows, 1]: a triangle about the place, wider where the axis becomes shorter."""
    scale = edge / size.float()  # [rows, 1]
    centre = (scale * (place.float() + 0.5))[..., None]  # [rows, places, 1]
    reach = scale.clamp(min=1.0)[..., None]
    entries = torch.arange(edge).float() + 0.5
    triangle = (1.0 - (entries - centre).abs() / reach).clamp(min=0.0)
    return triangle / triangle.sum(dim=-1, keepdim=True).clamp(min=1e-6)
