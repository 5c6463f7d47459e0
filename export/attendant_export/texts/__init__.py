"""The two texts of the exporter: one that calibration sees, and one that only verification sees."""

from __future__ import annotations

from importlib import resources


def calibration_text() -> str:
    """What quantisation is calibrated on: prose in several languages, code, chat, numbers; 2,500 to 4,000 tokens."""
    return _read("calibration.txt")


def verification_text() -> str:
    """What fidelity is measured on, never seen by calibration: mostly English prose, 1,300 to 1,600 tokens."""
    return _read("verification.txt")


def _read(name: str) -> str:
    return (resources.files(__name__) / name).read_text(encoding="utf-8")
