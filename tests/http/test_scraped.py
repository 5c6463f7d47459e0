"""The figures that `python -m tests.http.scraped` tells are right for windows whose cost is known."""

from __future__ import annotations

import numpy as np
import pytest

from tests.http.scraped import PAGES, Round, Window, interval, told


def test_the_interval_is_that_of_the_mean() -> None:
    values = np.random.default_rng(1).normal(2.0, 3.0, 400)
    mean, low, high = interval(values.tolist())
    assert mean == pytest.approx(values.mean())
    spread = 1.96 * values.std() / 400**0.5  # of a mean, by the normal distribution
    assert (low, high) == pytest.approx((mean - spread, mean + spread), abs=0.05 * spread)


def test_a_token_that_costs_a_hundredth_more_is_told_so() -> None:
    def found(chance: np.random.Generator) -> Round:
        pace = chance.uniform(0.8, 1.2)  # of the machine in this round; it does not matter
        return {
            (name, asked): Window(pace * (1.01 if asked else 1.0), 1000) for name in PAGES for asked in (False, True)
        }

    chance = np.random.default_rng(2)
    head, *lines = told([found(chance) for _ in range(20)])
    assert head.startswith("20 rounds; unscraped: 1000 tokens/s")
    assert lines == [f"{name}: +1.00 % (+1.00 to +1.00)" for name in PAGES]
