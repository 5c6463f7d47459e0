"""Attention over an image: the picture, and the same behind a veil that is thin where the model looked."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from attendant.client.explain.views import Attention, Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Pixels = npt.NDArray[np.uint8]
VEIL = (235, 235, 240)
THICKEST = 0.88
_EACH = 2.3  # inches
_NUMBERED = 8  # rows and columns of patches up to which each has its number


def draw_patches(view: Attention) -> Figure:
    """The picture, and one veiled copy for each layer or head."""
    from matplotlib.figure import Figure

    panels = list(view.panels())
    columns = min(len(panels) + 1, 5)
    rows = math.ceil((len(panels) + 1) / columns)
    figure = Figure(figsize=(_EACH * columns, (_EACH + 0.25) * rows))
    axes = np.array(figure.subplots(rows, columns, squeeze=False)).ravel()
    pixels = pixels_of(view)
    axes[0].imshow(pixels, interpolation="none")
    axes[0].set_title("the picture", fontsize=8)
    for axis, panel in zip(axes[1:], panels, strict=False):
        shares = grid_of(view, panel.weights)
        axis.imshow(veiled(pixels, shares), interpolation="none")
        axis.set_title(panel.title, fontsize=8)
        _numbers(axis, shares, pixels.shape)
    for axis in axes:
        axis.axis("off")
    figure.tight_layout(pad=0.4)
    return figure


def grid_of(view: Attention, weights: Floats) -> Floats:
    """Mean of the rows ([rows, keys]) as [rows of patches, columns] float32: shares of what all patches got."""
    assert view.grid is not None
    patches = weights.mean(axis=0)[view.grid.num_prefix :]
    shares: Floats = (patches / max(float(patches.sum()), 1e-12)).reshape(view.grid.rows, view.grid.columns)
    return shares


def pixels_of(view: Attention) -> Pixels:
    """The image, squared as the model's patches are, [height, width, 3] uint8; grey where there is no file."""
    from PIL import Image

    assert view.grid is not None
    size = (max(240 // view.grid.columns, 4) * view.grid.columns, max(240 // view.grid.rows, 4) * view.grid.rows)
    if not view.image:
        return np.full((size[1], size[0], 3), 200, np.uint8)
    with Image.open(io.BytesIO(view.image)) as image:
        return np.asarray(image.convert("RGB").resize(size, Image.Resampling.NEAREST), np.uint8)


def veiled(pixels: Pixels, shares: Floats) -> Pixels:
    """The image behind a veil: none over the patch with the largest share, thick over those with none."""
    light = shares / max(float(shares.max()), 1e-12)  # [rows, columns]
    height, width = pixels.shape[0] // shares.shape[0], pixels.shape[1] // shares.shape[1]
    cover = THICKEST * (1 - np.kron(light, np.ones((height, width))))[..., None]  # [height, width, 1]
    return np.asarray((1 - cover) * pixels + cover * np.array(VEIL), np.uint8)


def _numbers(axis: Axes, shares: Floats, shape: tuple[int, ...]) -> None:
    if max(shares.shape) > _NUMBERED:
        return
    height, width = shape[0] / shares.shape[0], shape[1] / shares.shape[1]
    for row, column in np.ndindex(*shares.shape):
        axis.text(
            (column + 0.5) * width,
            (row + 0.5) * height,
            f"{100 * shares[row, column]:.0f}",
            ha="center",
            va="center",
            fontsize=7,
            color="black",
            bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
        )
