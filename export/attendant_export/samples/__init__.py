"""Recordings of speech: one that calibration hears, and one that only verification hears; with what is said in them."""

from __future__ import annotations

import csv
import io
from importlib import resources
from typing import Literal

import numpy as np
import numpy.typing as npt

Name = Literal["calibration", "verification"]
RATE = 16_000


def recording(name: Name) -> npt.NDArray[np.float32]:
    """[num_samples] float32 between -1 and 1, one channel, at :data:`RATE` Hz."""
    import soundfile

    samples, rate = soundfile.read(io.BytesIO(_bytes(f"{name}.ogg")), dtype="float32")
    assert rate == RATE
    assert samples.ndim == 1
    return np.asarray(samples, np.float32)


def spoken_text(name: Name) -> str:
    """What is said in it."""
    rows = csv.DictReader(io.StringIO(_bytes(f"{name}.tsv").decode("utf-8")), delimiter="\t")
    return " ".join(row["text"] for row in rows)


def _bytes(name: str) -> bytes:
    return (resources.files(__name__) / name).read_bytes()
