"""Canaries: shares are what the weights say, and a key stays where it is."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from attendant.core.context import CallContext
from attendant.frontend.routes.choice import by_chance, by_key
from attendant.frontend.routes.graph import Target
from attendant.frontend.routes.routing import route_key
from attendant.settings.routes import CanaryRoute
from attendant.settings.routes import Target as Weighted
from hypothesis import given, settings
from hypothesis import strategies as st

NUM_KEYS = 4000
WEIGHTS = st.lists(st.floats(0.1, 10), min_size=2, max_size=5)


def targets(weights: list[float]) -> list[Target]:
    return [Target(f"m{i}", None, weight=weight) for i, weight in enumerate(weights)]


def within_chance(count: int, share: float, total: int) -> bool:
    """Whether a count of ``total`` draws is within five standard deviations of the binomial distribution."""
    return abs(count - share * total) <= 5 * math.sqrt(total * share * (1 - share)) + 1


@settings(max_examples=15, deadline=None)
@given(WEIGHTS)
def test_keys_are_spread_by_weight(weights: list[float]) -> None:
    found = Counter(by_key(targets(weights), "r", f"user {i}").model for i in range(NUM_KEYS))
    for target in targets(weights):
        assert within_chance(found[target.model], target.weight / sum(weights), NUM_KEYS)


@settings(max_examples=30, deadline=None)
@given(WEIGHTS, st.integers(0, 4), st.floats(1.1, 5))
def test_keys_move_only_to_the_target_that_gained(weights: list[float], which: int, factor: float) -> None:
    gained = which % len(weights)
    more = [weight * factor if i == gained else weight for i, weight in enumerate(weights)]
    for i in range(300):
        before, after = (by_key(targets(each), "r", f"{i}").model for each in (weights, more))
        assert after in (before, f"m{gained}")


@settings(max_examples=30, deadline=None)
@given(WEIGHTS, st.integers(0, 4))
def test_only_keys_of_a_target_that_left_move(weights: list[float], which: int) -> None:
    left = targets(weights)
    gone = left.pop(which % len(weights))
    for i in range(300):
        before = by_key(targets(weights), "r", f"{i}")
        if before.model != gone.model:
            assert by_key(left, "r", f"{i}").model == before.model


def test_two_routes_spread_the_same_keys_apart() -> None:
    both = [[by_key(targets([1, 1]), r, f"{i}").model for r in ("one", "two")] for i in range(NUM_KEYS)]
    assert within_chance(sum(a == b for a, b in both), 0.5, NUM_KEYS)


def test_chance_gives_shares_within_its_bounds() -> None:
    draw = random.Random(3)
    found = Counter(by_chance(targets([9, 1]), draw).model for _ in range(NUM_KEYS))
    assert within_chance(found["m1"], 0.1, NUM_KEYS)


def test_a_target_without_weight_is_never_chosen() -> None:
    draw = random.Random(0)
    for i in range(200):
        assert by_key(targets([0, 1]), "r", str(i)).model == "m1"
        assert by_chance(targets([0, 1]), draw).model == "m1"


@pytest.mark.parametrize(
    ("sticky", "metadata", "key"),
    [
        (False, {"x-route-key": "a"}, None),
        (True, {"x-route-key": "a"}, "a"),
        (True, {"x-user-id": "b"}, None),
        ("x-user-id", {"x-user-id": "b"}, "b"),
        ("x-user-id", {"x-route-key": "a", "x-user-id": "b"}, "a"),
        ("x-user-id", {"x-route-key": "", "x-user-id": "b"}, "b"),
        ("x-user-id", {}, None),
    ],
)
def test_the_key_is_where_the_file_says(sticky: bool | str, metadata: dict[str, str], key: str | None) -> None:
    spec = CanaryRoute(kind="canary", targets=(Weighted(model="m"),), sticky=sticky)
    assert route_key(spec, CallContext.new(metadata=metadata)) == key
