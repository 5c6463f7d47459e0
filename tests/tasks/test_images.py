"""Pixel values: those of transformers' image processors, and clear refusals of what is no image."""

from __future__ import annotations

import contextlib
import io
import struct
import subprocess
import sys
import zlib
from typing import Any

import numpy as np
import pytest
from attendant.bundle import ImageInput
from attendant.core.errors import InvalidRequest
from attendant.tasks.images import pixel_values
from PIL import Image

MEAN, STD = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)
SIZES = [(80, 60), (60, 80), (20, 30), (33, 33), (200, 7), (48, 48)]


def picture(width: int, height: int, mode: str = "RGB") -> Image.Image:
    rng = np.random.default_rng(width * height)
    rough = Image.fromarray(rng.integers(0, 256, (7, 9, 4), dtype=np.uint8), "RGBA")
    return rough.resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def file_of(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def reference(processor: str, data: bytes, **options: Any) -> np.ndarray:
    """[3, height, width] float32 of a processor of transformers."""
    transformers = pytest.importorskip("transformers")
    made = getattr(transformers, processor)(**options)(images=Image.open(io.BytesIO(data)), return_tensors="np")
    return made["pixel_values"][0]


SQUARE = {"height": 48, "width": 40}
PROCESSORS: dict[str, tuple[str, dict[str, Any], ImageInput]] = {
    "vit": (
        "ViTImageProcessorPil",
        {"size": SQUARE, "do_convert_rgb": True},
        ImageInput(height=48, width=40, resize=(48, 40), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    ),
    "deit": (
        "DeiTImageProcessorPil",
        {"size": {"height": 64, "width": 64}, "crop_size": SQUARE, "image_mean": MEAN, "image_std": STD},
        ImageInput(height=48, width=40, resize=(64, 64), resample=3, mean=MEAN, std=STD),
    ),
    "clip": (
        "CLIPImageProcessorPil",
        {"size": {"shortest_edge": 37}, "crop_size": SQUARE, "image_mean": MEAN, "image_std": STD},
        ImageInput(height=48, width=40, shortest_edge=37, resample=3, mean=MEAN, std=STD),
    ),
    "siglip": (
        "SiglipImageProcessorPil",
        {"size": SQUARE},
        ImageInput(height=48, width=40, resize=(48, 40), resample=3, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    ),
    "dinov2": (
        "BitImageProcessorPil",
        {"size": {"shortest_edge": 52}, "crop_size": SQUARE, "image_mean": MEAN, "image_std": STD},
        ImageInput(height=48, width=40, shortest_edge=52, resample=3, mean=MEAN, std=STD),
    ),
    "crop only": (
        "BitImageProcessorPil",
        {"do_resize": False, "crop_size": SQUARE, "do_normalize": False},
        ImageInput(height=48, width=40),
    ),
    "lanczos": (
        "ViTImageProcessorPil",
        {"size": SQUARE, "resample": 1, "rescale_factor": 1 / 127.5, "do_convert_rgb": True},
        ImageInput(
            height=48, width=40, resize=(48, 40), resample=1, rescale=1 / 127.5, mean=(0.5,) * 3, std=(0.5,) * 3
        ),
    ),
}


@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize("size", SIZES)
def test_values_are_those_of_transformers(name: str, size: tuple[int, int]) -> None:
    processor, options, spec = PROCESSORS[name]
    data = file_of(picture(*size))
    found, wanted = pixel_values(data, spec, "images[0]"), reference(processor, data, **options)
    assert (found.dtype, found.shape) == (np.float32, (3, 48, 40))
    assert found.flags.c_contiguous
    assert np.abs(found - wanted).max() < 1e-5


def palette_with_transparency() -> bytes:
    image = picture(50, 40).quantize(16)
    return file_of(image, transparency=3)


FILES = {
    "jpeg": file_of(picture(50, 40), "JPEG"),
    "progressive jpeg": file_of(picture(50, 40), "JPEG", progressive=True),
    "grey jpeg": file_of(picture(50, 40, "L"), "JPEG"),
    "cmyk jpeg": file_of(picture(50, 40, "CMYK"), "JPEG"),
    "png": file_of(picture(50, 40)),
    "png with alpha": file_of(picture(50, 40, "RGBA")),
    "grey png with alpha": file_of(picture(50, 40, "LA")),
    "grey png": file_of(picture(50, 40, "L")),
    "png of one bit": file_of(picture(50, 40, "1")),
    "palette png": file_of(picture(50, 40).quantize(16)),
    "palette png with transparency": palette_with_transparency(),
    "webp": file_of(picture(50, 40), "WEBP"),
    "webp with alpha": file_of(picture(50, 40, "RGBA"), "WEBP", lossless=True),
    "gif": file_of(picture(50, 40).quantize(32), "GIF"),
    "bmp": file_of(picture(50, 40), "BMP"),
    "animated gif": file_of(
        picture(50, 40).quantize(8), "GIF", save_all=True, append_images=[picture(50, 40, "L")], duration=50
    ),
    "animated webp": file_of(
        picture(50, 40), "WEBP", save_all=True, append_images=[Image.new("RGB", (50, 40))], lossless=True
    ),
    "jpeg with orientation": file_of(
        picture(50, 40), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    ),
}


@pytest.mark.parametrize("kind", FILES)
def test_every_kind_of_file_is_as_transformers_has_it(kind: str) -> None:
    processor, options, spec = PROCESSORS["clip"]
    found = pixel_values(FILES[kind], spec, "images[0]")
    assert np.abs(found - reference(processor, FILES[kind], **options)).max() < 1e-5


def test_grey_of_16_bits_keeps_its_shades() -> None:
    spec = ImageInput(height=16, width=256)
    grey = np.tile(np.arange(256, dtype=np.uint16) * 257, (16, 1))
    found = pixel_values(file_of(Image.fromarray(grey)), spec, "images[0]")
    assert np.allclose(found, np.broadcast_to(np.arange(256) / 255, (3, 16, 256)))


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is huge."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


PHOTO = FILES["jpeg"]
REFUSED = {
    "empty": (b"", "is empty; allowed: a file in the format JPEG, PNG, WebP, GIF or BMP"),
    "text": (b"this is a text, and not an image", "is no image file"),
    "zeros": (bytes(1000), "is no image file"),
    "tiff": (file_of(picture(50, 40), "TIFF"), "is no image file"),
    "start of a jpeg": (PHOTO[:20], "image file"),
    "half a jpeg": (PHOTO[: len(PHOTO) // 2], "is a damaged image file"),
    "half a png": (FILES["png"][: len(FILES["png"]) // 2], "is a damaged image file"),
    "half a webp": (FILES["webp"][: len(FILES["webp"]) // 2], "image file"),
    "half a gif": (FILES["gif"][: len(FILES["gif"]) // 2], "is a damaged image file"),
    "half a bmp": (FILES["bmp"][: len(FILES["bmp"]) // 2], "is a damaged image file"),
    "bomb": (bomb(9000, 9000), "has 9000 x 9000 pixels; allowed: 64000000 pixels in all"),
    "bigger bomb": (bomb(60000, 60000), "has far too many pixels; allowed: 64000000 pixels in all"),
    "line": (file_of(Image.new("L", (1_000_000, 1))), "which the model takes at 48000000 x 48; allowed: 64000000"),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_good_image_is_refused(kind: str) -> None:
    data, reason = REFUSED[kind]
    with pytest.raises(InvalidRequest) as caught:
        pixel_values(data, ImageInput(height=48, width=48, shortest_edge=48), "images[3]")
    assert caught.value.field == "images[3]"
    assert reason in caught.value.reason
    assert "0x" not in caught.value.reason


def test_the_limit_of_pixels_can_be_lowered() -> None:
    spec = ImageInput(height=8, width=8, resize=(8, 8))
    assert pixel_values(PHOTO, spec, "images[0]", max_pixels=2000).shape == (3, 8, 8)
    with pytest.raises(InvalidRequest, match="has 50 x 40 pixels; allowed: 1999 pixels"):
        pixel_values(PHOTO, spec, "images[0]", max_pixels=1999)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", ["jpeg", "png", "palette png with transparency", "webp", "animated gif", "bmp"])
def test_damage_anywhere_gives_values_or_a_refusal(kind: str) -> None:
    rng = np.random.default_rng(7)
    spec = ImageInput(height=8, width=8, resize=(8, 8))
    for trial in range(60):
        data = bytearray(FILES[kind])
        for place in rng.integers(0, len(data) if trial % 2 else min(len(data), 60), 3):
            data[place] = rng.integers(256)
        with contextlib.suppress(InvalidRequest):
            assert pixel_values(bytes(data), spec, "images[0]").shape == (3, 8, 8)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "I;16"])
def test_strips_of_a_large_image_make_the_same_whole(mode: str) -> None:
    width, height = 700, 900  # more than one strip
    if mode == "I;16":
        grey = np.random.default_rng(1).integers(0, 65536, (height, width)).astype(np.uint16)
        data, wanted = file_of(Image.fromarray(grey)), np.repeat((grey >> 8)[..., None], 3, axis=2)
    else:
        image = picture(width, height).quantize(64) if mode == "P" else picture(width, height, mode)
        data = file_of(image, transparency=3) if mode == "P" else file_of(image)
        opened = Image.open(io.BytesIO(data)).convert("RGBA")
        wanted = np.asarray(Image.alpha_composite(Image.new("RGBA", opened.size, "white"), opened).convert("RGB"))
    found = pixel_values(data, ImageInput(height=height, width=width, rescale=1.0), "images[0]")
    assert np.array_equal(found, wanted.transpose(2, 0, 1))


def alone(code: str, data: bytes) -> tuple[str, str]:
    """Output and errors of a process of its own that gets ``data``."""
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, timeout=300, check=True)
    return done.stdout.decode(), done.stderr.decode()


def test_a_transparent_image_takes_little_more_than_its_pixels() -> None:
    code = """
import resource, sys
from attendant.bundle import ImageInput
from attendant.tasks.images import pixel_values
data, spec = sys.stdin.buffer.read(), ImageInput(height=8, width=8, resize=(8, 8))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
pixel_values(data, spec, "images[0]")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""
    data = file_of(Image.new("RGBA", (4000, 4000), (1, 2, 3, 100)))
    assert int(alone(code, data)[0]) < 11 * 16_000_000  # once as it is, once as RGB, at 4 bytes a pixel


def test_a_bomb_is_refused_without_a_word_on_stderr() -> None:
    code = """
import sys
from attendant.bundle import ImageInput
from attendant.core.errors import InvalidRequest
from attendant.tasks.images import pixel_values
try:
    pixel_values(sys.stdin.buffer.read(), ImageInput(height=8, width=8, resize=(8, 8)), "images[0]")
except InvalidRequest as error:
    print(error)
"""
    out, err = alone(code, bomb(10_000, 10_000))
    assert "has 10000 x 10000 pixels" in out
    assert err == ""
