"""What reads files of callers: sound and images, whole and damaged. Anything but values or a refusal is a fault."""

from __future__ import annotations

import random
import warnings

import numpy as np
from attendant.bundle import AudioInput, ImageInput
from attendant.core.errors import InvalidRequest
from attendant.tasks.audio import file_values
from attendant.tasks.images import pixel_values
from attendant.tasks.sound import SoundFile
from PIL import Image

from tests.fuzz.files import sound_and_images

RATE = 16_000
AUDIO = AudioInput(sampling_rate=RATE, min_samples=400, max_samples=60 * RATE)
IMAGE = ImageInput(height=8, width=8, resize=(8, 8))


def file_case(chance: random.Random) -> tuple[str, str]:
    """Has one file read. Returns how that ended, and what is wrong with it; empty for nothing."""
    return read_all(sound_and_images(chance))


def read_all(data: bytes) -> tuple[str, str]:
    """Has bytes read as everything that they could be."""
    ended = []
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    for read in (_values, _pieces, _pixels):
        try:
            values = read(data)
        except InvalidRequest as refused:
            if not refused.reason or "0x" in refused.reason:
                return "untold", f"{read.__name__}: refused with {refused.reason!r}"
            ended.append("refused")
        else:
            if not np.isfinite(values).all():
                return "infinite", f"{read.__name__}: values that are no numbers"
            ended.append("read")
    return "+".join(ended), ""


def _values(data: bytes) -> np.ndarray:
    return file_values(data, AUDIO, "file")[0]


def _pieces(data: bytes) -> np.ndarray:
    file = SoundFile(data, RATE, 60.0, "file")
    parts = [np.zeros(0, np.float32)]
    while (part := file.read()) is not None:
        parts.append(part)
    return np.concatenate(parts)


def _pixels(data: bytes) -> np.ndarray:
    return pixel_values(data, IMAGE, "images[0]")
