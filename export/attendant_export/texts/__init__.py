"""The two texts of the exporter: one that calibration sees, and one that only verification sees."""

from __future__ import annotations

import re
from importlib import resources

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_SENTENCE = re.compile(r"[A-Z\"][^{}<>=|]{40,240}[.!?]\"?")


def calibration_text() -> str:
    """What quantisation is calibrated on: prose in several languages, code, chat, numbers; some 8,000 tokens."""
    return _read("calibration.txt")


def verification_text() -> str:
    """What fidelity is measured on, never seen by calibration: mostly English prose, 1,300 to 1,600 tokens."""
    return _read("verification.txt")


def parallel_text() -> dict[str, str]:
    """Two sentences in several languages, the same in each, by language; of neither of the other texts."""
    return dict(line.split("\t", 1) for line in _read("parallel.txt").splitlines())


def sentences(text: str) -> list[str]:
    """The sentences of a text's prose, of 40 to 240 characters each, in its order; code and tables are left out."""
    pieces = (piece for line in text.splitlines() for piece in _SENTENCE_END.split(line.strip()))
    return [piece for piece in pieces if _SENTENCE.fullmatch(piece)]


def _read(name: str) -> str:
    return (resources.files(__name__) / name).read_text(encoding="utf-8")
