"""How errors show what was sent: as JSON, and never more of it than they tell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import repeat
from typing import Any

import pytest
from attendant.core.shown import shown


@pytest.mark.parametrize(
    "value",
    [None, True, 5, -1.5, float("nan"), "é\n", [], {}, [1, [2, "x"], {}], {"a": None, "b": {"c": [False]}}, "x" * 58],
    ids=str,
)
def test_what_is_short_is_shown_whole(value: Any) -> None:
    assert shown(value) == json.dumps(value, ensure_ascii=False)


@pytest.mark.parametrize(
    "value", ["x" * 59, ["abc"] * 30, {"name": "y" * 90}, {"y" * 90: 1}, [[{"a": [3] * 40}]]], ids=str
)
def test_what_is_long_is_cut(value: Any) -> None:
    assert shown(value) == json.dumps(value)[:60] + "..."


class Endless(list[Any]):
    def __iter__(self) -> Iterator[Any]:
        return repeat({"x": 7})


def test_no_more_is_looked_at_than_is_shown() -> None:
    assert shown({"a": Endless()}, 20) == '{"a": [{"x": 7}, {"x...'
