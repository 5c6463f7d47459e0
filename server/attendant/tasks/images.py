"""Image files to the pixel values of a model: decoding, colour, size, and the numbers of each channel."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from attendant.bundle import ImageInput, PatchInput
from attendant.core.errors import InvalidRequest

MAX_PIXELS = 64_000_000
"""Of one image, before and after it is resized. Decoded, a pixel takes 4 bytes, and 4 more while an image of another
mode than RGB is converted or while it is resized to its own size; what its file took comes on top."""

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
_NAMES = "JPEG, PNG, WebP, GIF or BMP"
_STRIP_PIXELS = 1 << 18
_WHITE = (255, 255, 255, 255)
# What Pillow's decoders raise over a file that is cut off or damaged; a bomb of a warning where warnings are errors.
_BROKEN = (OSError, SyntaxError, ValueError, IndexError, KeyError, TypeError, EOFError, struct.error, zlib.error)
_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)

# Images with more pixels than this are refused here; what Pillow warns of on stderr says the same. A filter for the
# process, as one set for a while is not safe among threads.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

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
    image = decoded(data, field, max_pixels)
    target = _resized(image.width, image.height, spec)
    if target is not None:
        width, height = target
        if width * height > max_pixels:
            raise InvalidRequest(
                field,
                f"has {image.width} x {image.height} pixels, which the model takes at {width} x {height}; "
                f"allowed: {max_pixels} pixels in all",
            )
        if not spec.rounded:
            return _scaled(_resized_exactly(image, target, spec.resample), spec)
        image = image.resize(target, Image.Resampling(spec.resample))
    return _scaled(_cut_centre(image, spec.height, spec.width), spec)


def _scaled(pixels: npt.NDArray[np.uint8] | Floats, spec: ImageInput) -> Floats:
    """Colours [height, width, 3] of 0 to 255 as what the model takes, [3, height, width] float32."""
    values = scaled(pixels[..., ::-1] if spec.blue_first else pixels, spec)
    return np.ascontiguousarray(values.transpose(2, 0, 1))


def scaled(pixels: npt.NDArray[np.uint8] | Floats, spec: ImageInput | PatchInput) -> Floats:
    """Colours [height, width, 3] of 0 to 255, times ``rescale``, less the mean, by the standard deviation: float32."""
    std = np.asarray(spec.std, np.float32)
    values: Floats = pixels * (np.float32(spec.rescale) / std) - np.asarray(spec.mean, np.float32) / std
    return values


def given_pixels(values: npt.NDArray[np.float32], spec: ImageInput, field: str) -> Floats:
    """Pixel values [3, height, width] float32 that a caller made. Raises InvalidRequest for another shape, or numbers
    that are not finite."""
    wanted = 3, spec.height, spec.width
    if values.shape != wanted:
        raise InvalidRequest(field, f"has shape {list(values.shape)}; allowed: {list(wanted)}")
    if not np.isfinite(values).all():
        raise InvalidRequest(field, "has a number that is infinite or none; allowed: finite ones")
    return values


def decoded(data: bytes, field: str, max_pixels: int) -> Image.Image:
    """The first frame of an image file, in mode RGB. Raises InvalidRequest as :func:`pixel_values`."""
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
    image.load()
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _in_strips(image, _upper_8_bits)
    if "A" in image.getbands() or image.info.get("transparency") is not None:
        return _in_strips(image, _on_white)
    return image if image.mode == "RGB" else image.convert("RGB")


def _in_strips(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """``convert``, whose intermediate images are never larger than a strip."""
    result = Image.new("RGB", image.size)
    height = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, height):
        result.paste(convert(image.crop((0, top, image.width, min(top + height, image.height)))), (0, top))
    return result


def _upper_8_bits(image: Image.Image) -> Image.Image:
    """Of grey of 16 bits: Pillow itself would turn everything above 255 white."""
    grey = np.asarray(image).astype(np.int32).clip(0, 65535) >> 8
    return Image.fromarray(grey.astype(np.uint8)).convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    background = Image.new("RGBA", image.size, _WHITE)
    return Image.alpha_composite(background, image.convert("RGBA")).convert("RGB")


def _resized(width: int, height: int, spec: ImageInput) -> tuple[int, int] | None:
    """(width, height) that an image is resized to, or None. Long edges are rounded down, as in transformers."""
    if spec.resize is not None:
        return spec.resize[1], spec.resize[0]
    if spec.shortest_edge is None:
        return None
    longest_edge = int(spec.shortest_edge * max(width, height) / min(width, height))
    return (spec.shortest_edge, longest_edge) if width <= height else (longest_edge, spec.shortest_edge)


def _resized_exactly(image: Image.Image, target: tuple[int, int], resample: int) -> Floats:
    """[height, width, 3] float32 of 0 to 255 and, with some filters, beyond: as torch resizes numbers."""
    planes = []
    for channel in range(3):  # one by one, as a pixel of each takes 4 bytes until it is resized
        plane = image.getchannel(channel).convert("F")
        planes.append(np.asarray(plane.resize(target, Image.Resampling(resample))))
    return np.stack(planes, axis=-1)


def _cut_centre(image: Image.Image, height: int, width: int) -> npt.NDArray[np.uint8]:
    """[height, width, 3]: what lacks on an edge is black, one pixel more of it above and left."""
    left, top = max(0, image.width - width) // 2, max(0, image.height - height) // 2
    if image.width > width or image.height > height:
        image = image.crop((left, top, min(left + width, image.width), min(top + height, image.height)))
    missing = height - image.height, width - image.width
    sides = [(-(-lacks // 2), lacks // 2) for lacks in missing]
    pixels = np.asarray(image)  # [h, w, 3] uint8
    return np.pad(pixels, [*sides, (0, 0)]) if any(missing) else pixels
