"""Damaged files of sound and of images: whole ones whose bytes, lengths and fields are changed."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable
from functools import cache

import numpy as np
import soundfile
from PIL import Image

RATE = 16_000
BOUNDARIES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
"""What counts, lengths and offsets of a file are changed to."""


@cache
def seeds() -> tuple[bytes, ...]:
    """A small whole file of each kind: WAV (samples of several kinds), FLAC, OGG; PNG, JPEG, GIF, WebP, TIFF, BMP."""
    wave = (0.3 * np.sin(np.arange(RATE // 20) / 8)).astype(np.float32)
    stereo = np.stack([wave, -wave], axis=1)
    sounds = [
        _sound(wave, "WAV", "PCM_16"),
        _sound(stereo, "WAV", "PCM_24"),
        _sound(wave, "WAV", "FLOAT"),
        _sound(wave, "WAV", "PCM_U8"),
        _sound(stereo, "WAVEX", "PCM_16"),
        _sound(wave, "FLAC", "PCM_16"),
        _sound(stereo, "FLAC", "PCM_24"),
        _sound(wave, "OGG", "VORBIS"),
    ]
    shades = Image.fromarray((np.arange(12 * 10 * 3) % 251).astype(np.uint8).reshape(12, 10, 3), "RGB")
    kinds = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP")
    images = [_image(shades, kind) for kind in kinds]
    images += [_image(shades.convert(mode), "PNG") for mode in ("P", "LA", "RGBA", "1", "I;16")]
    return (*sounds, *images)


def _sound(samples: np.ndarray, kind: str, subtype: str) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples, RATE, format=kind, subtype=subtype)
    return stream.getvalue()


def _image(image: Image.Image, kind: str) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def sound_and_images(chance: random.Random) -> bytes:
    """A file, whole or damaged in up to three places."""
    data = chance.choice(seeds())
    for _ in range(chance.choice((0, 1, 1, 2, 3))):
        data = damaged(data, chance)
    return data


def damaged(data: bytes, chance: random.Random) -> bytes:
    """A file with one more fault. Heads are hit more often than what is behind them."""
    if not data:
        return b"\x00"
    place = chance.randrange(min(len(data), chance.choice((64, 64, len(data)))))
    end = place + chance.choice((1, 2, 4, 8, 200))
    order, (letter, width) = chance.choice("<>"), chance.choice((("B", 1), ("H", 2), ("I", 4)))
    number = chance.choice(BOUNDARIES) & (256**width - 1)
    other = chance.choice(seeds())
    ways: list[Callable[[], bytes]] = [
        lambda: data[:place],
        lambda: data[:place] + bytes([data[place] ^ (1 << chance.randrange(8))]) + data[place + 1 :],
        lambda: data[:place] + struct.pack(order + letter, number) + data[place + width :],
        lambda: data[:place] + data[end:],
        lambda: data[:end] + data[place:],
        lambda: data[:place] + other[place:],
        lambda: data + other,
        lambda: data[:place] + chance.randbytes(end - place) + data[end:],
    ]
    return chance.choice(ways)()
