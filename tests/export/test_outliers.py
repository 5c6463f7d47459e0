"""Which channels are kept apart: those that make their neighbours' rounding coarse, and no others."""

from __future__ import annotations

import numpy as np
import pytest
from attendant_export.quantisation.outliers import MOST_APART, find_outliers

RNG = np.random.default_rng(5)
POWER = RNG.uniform(0.5, 1.5, 160).astype(np.float32)


def rows(**peaks: float) -> np.ndarray:
    """[200, 160], of normal values; channel ``c7=60`` is 60 times as large."""
    found = RNG.standard_normal((200, 160)).astype(np.float32)
    for name, factor in peaks.items():
        found[:, int(name[1:])] *= factor
    return found


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (rows(), []),
        (rows(c7=60), [7]),
        (rows(c40=50, c7=60, c41=55), [7, 40, 41]),
        (rows(c159=60), [159]),
        (np.zeros((200, 160), np.float32), []),
        (np.zeros((0, 160), np.float32), []),
    ],
    ids=["none", "one", "two in a block", "the last", "zeros", "no rows"],
)
def test_those_that_are_large_are_found(found: np.ndarray, wanted: list[int]) -> None:
    assert find_outliers(found, POWER, 32).tolist() == wanted


def test_they_are_those_that_save_most_of_the_error() -> None:
    """Against the error of all products, computed as they are rounded."""
    weight = RNG.standard_normal((160, 48)).astype(np.float32)
    found = rows(c7=20, c90=30)

    def error(apart: list[int]) -> float:
        blocks = found.copy()
        blocks[:, apart] = 0
        blocks = blocks.reshape(200, -1, 32)
        step = np.abs(blocks).max(-1, keepdims=True) / 127
        off = (np.rint(blocks / step) * step - blocks).reshape(200, -1) @ weight
        return float((off**2).mean())

    chosen = find_outliers(found, (weight**2).sum(axis=1), 32)
    assert chosen.tolist() == [7, 90]
    assert error([7, 90]) < 0.1 * error([])
    assert error([7, 90]) < min(error([7, other]) for other in range(160) if other != 90)


def test_blocks_that_are_not_full_have_no_more_channels() -> None:
    assert find_outliers(rows(c140=60)[:, :150], POWER[:150], 32).tolist() == [140]


def test_many_are_not_apart() -> None:
    """Outliers everywhere are none: apart, they would cost more time than they are worth."""
    found = rows(**{f"c{channel}": 40 for channel in range(0, 160, 4)})
    assert len(find_outliers(found, POWER, 32)) <= MOST_APART
