"""Image files to the pixel values of a model: decoding, colour, size, and the numbers of each channel."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from attendant.bundle import ImageInput
from attendant.core.errors import InvalidRequest

MAX_PIXELS = 64_000_000
"""Of one image, before and after it is resized; decoded, a pixel takes 4 bytes."""

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
_NAMES = "JPEG, PNG, WebP, GIF or BMP"
_WHITE = (255, 255, 255, 255)
# What Pillow's decoders raise over a file that is cut off or damaged; a bomb of a warning where warnings are errors.
_BROKEN = (OSError, SyntaxError, ValueError, IndexError, KeyError, TypeError, EOFError, struct.error, zlib.error)
_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)

Floats = npt.NDArray[np.float32]


def pixel_values(data: bytes, spec: ImageInput, field: str, max_pixels: int = MAX_PIXELS) -> Floats:
    """What a model computes of an image file, equal to what transformers' image processors make of the opened file.

    As there, transparent pixels are put on white, of an animation the first frame counts, and an orientation that EXIF
    notes is not applied. Grey images of 16 bits keep their upper 8, as coloured ones do.

    Args:
        data: a file: JPEG, PNG, WebP, GIF or BMP.
        spec: of the model.
        field: names the image in errors.
        max_pixels: an image with more is refused before it is decoded.

    Returns:
        [3, height, width] float32.

    Raises:
        InvalidRequest: empty, of another format, damaged or cut off, or with too many pixels.
    """
    image = _decode(data, field, max_pixels)
    target = _resized(image.width, image.height, spec)
    if target is not None:
        width, height = target
        if width * height > max_pixels:
            raise InvalidRequest(
                field,
                f"has {image.width} x {image.height} pixels, which the model takes at {width} x {height}; "
                f"allowed: {max_pixels} pixels in all",
            )
        image = image.resize(target, Image.Resampling(spec.resample))
    pixels = _cut_centre(np.asarray(image), spec.height, spec.width)  # [height, width, 3] uint8
    std = np.asarray(spec.std, np.float32)
    scale = np.float32(spec.rescale) / std
    offset = np.asarray(spec.mean, np.float32) / std
    values = pixels * scale - offset  # [height, width, 3] float32
    return np.ascontiguousarray(values.transpose(2, 0, 1))


def _decode(data: bytes, field: str, max_pixels: int) -> Image.Image:
    """The first frame, in mode RGB."""
    if not data:
        raise InvalidRequest(field, f"is empty; allowed: a file in the format {_NAMES}")
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise InvalidRequest(
                    field, f"has {image.width} x {image.height} pixels; allowed: {max_pixels} pixels in all"
                )
            return _to_rgb(image)
    except UnidentifiedImageError:
        raise InvalidRequest(
            field,
            f"is no image file that can be read ({len(data)} bytes); allowed: a whole file in the format {_NAMES}",
        ) from None
    except _BOMB:
        raise InvalidRequest(field, f"has far too many pixels; allowed: {max_pixels} pixels in all") from None
    except _BROKEN as error:
        raise InvalidRequest(
            field, f"is a damaged image file, or a part of one ({error}); allowed: a whole file in the format {_NAMES}"
        ) from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "I" or image.mode.startswith("I;16"):  # Pillow itself would turn everything above 255 white
        grey = np.asarray(image).astype(np.int32).clip(0, 65535) >> 8
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if "A" not in image.getbands() and image.info.get("transparency") is None:
        return image.convert("RGB")
    image = image.convert("RGBA")
    background = Image.new("RGBA", image.size, _WHITE)
    return Image.alpha_composite(background, image).convert("RGB")


def _resized(width: int, height: int, spec: ImageInput) -> tuple[int, int] | None:
    """(width, height) that an image is resized to, or None. Long edges are rounded down, as in transformers."""
    if spec.resize is not None:
        return spec.resize[1], spec.resize[0]
    if spec.shortest_edge is None:
        return None
    longest_edge = int(spec.shortest_edge * max(width, height) / min(width, height))
    return (spec.shortest_edge, longest_edge) if width <= height else (longest_edge, spec.shortest_edge)


def _cut_centre(pixels: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """[h, w, 3] uint8 to [height, width, 3]: what lacks on an edge is black, one pixel more of it above and left."""
    for axis, size in ((0, height), (1, width)):
        missing = max(0, size - pixels.shape[axis])
        if missing:
            before = -(-missing // 2)
            sides = [(0, 0)] * pixels.ndim
            sides[axis] = (before, missing - before)
            pixels = np.pad(pixels, sides)
        start = (pixels.shape[axis] - size) // 2
        pixels = pixels[start : start + size] if axis == 0 else pixels[:, start : start + size]
    return pixels
