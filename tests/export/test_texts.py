"""The texts of calibration and verification: different from each other, and without repetition."""

from __future__ import annotations

from attendant_export.texts import calibration_text, verification_text

_RUN = 6  # words


def _runs(text: str) -> list[tuple[str, ...]]:
    words = text.split()
    return [tuple(words[at : at + _RUN]) for at in range(len(words) - _RUN + 1)]


def test_nothing_repeats_within_a_text() -> None:
    for text in (calibration_text(), verification_text()):
        runs = _runs(text)
        assert len(set(runs)) == len(runs)


def test_verification_shares_nothing_with_calibration() -> None:
    assert not set(_runs(calibration_text())) & set(_runs(verification_text()))
