"""What a JSON text has is counted as a parser finds it, wherever strings, escapes and chunks begin and end."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from attendant.core.errors import TooLarge
from attendant.http.api import scan
from attendant.http.api.bodies import ApiBody, refusal
from pydantic import ValidationError

TEXTS = ('"', "\\", '\\"', "a,b:c[d{e", "", "\n", '\\\\"', "\u00e9\U0001f600", "[" * 9, "\\" * 7, 'x"' * 5)


def drawn(chance: random.Random, levels: int = 4) -> Any:
    kind = chance.randrange(5 if levels else 2)
    if kind == 0:
        return chance.choice((None, True, 1, -2.5e-3))
    if kind < 3:
        return "".join(chance.choices(TEXTS, k=chance.randrange(6)))
    if kind == 3:
        return [drawn(chance, levels - 1) for _ in range(chance.randrange(6))]
    return {chance.choice(TEXTS) + str(i): drawn(chance, levels - 1) for i in range(chance.randrange(6))}


def amount(value: Any) -> tuple[int, int]:
    """Commas and brackets, and colons, that a text of this value has outside strings."""
    if isinstance(value, dict):
        found = [amount(each) for each in value.values()]
        own = (max(1, len(value)), len(value))
    elif isinstance(value, list):
        found = [amount(each) for each in value]
        own = (max(1, len(value)), 0)
    else:
        return 0, 0
    return own[0] + sum(a for a, _ in found), own[1] + sum(b for _, b in found)


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64, 2**20])
def test_what_is_outside_strings_is_counted(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "_CHUNK", chunk)
    chance = random.Random(chunk)
    for _ in range(60):
        value = drawn(chance)
        text = json.dumps(value, ensure_ascii=chance.random() < 0.5).encode()
        values, keys = amount(value)
        outside = b"".join(bytes(part) for part in scan._outside_strings(text))
        assert sum(outside.count(mark) for mark in (b",", b"[", b"{")) == values
        assert outside.count(b":") == keys


def test_a_body_has_a_limit_of_values_and_of_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "MOST_VALUES", 10)
    monkeypatch.setattr(scan, "MOST_KEYS", 3)
    scan.check_amount(json.dumps([1] * 10).encode())
    scan.check_amount(json.dumps({"a": "x:,[{" * 9, "b": 1, "c": 2}).encode())
    with pytest.raises(TooLarge, match="more than 10 values"):
        scan.check_amount(json.dumps([1] * 11).encode())
    with pytest.raises(TooLarge, match="more than 3 names of fields"):
        scan.check_amount(json.dumps({"a": 1, "b": 1, "c": 2, "d": 1}).encode())


class Inner(ApiBody):
    n: int


class Outer(ApiBody):
    ids: tuple[int, ...] = ()
    either: str | tuple[str, ...] | tuple[int, ...] = ()
    inner: tuple[Inner, ...] = ()
    bias: dict[str, float] | None = None


def fault(text: str) -> tuple[int, Any]:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate_json(text)
    return caught.value.error_count(), refusal(Outer, caught.value)


def test_of_many_faults_the_first_is_told() -> None:
    assert fault(json.dumps({"ids": ["a"] * 1000}))[0] == 1
    assert fault(json.dumps({"bias": {str(i): "a" for i in range(1000)}}))[0] == 1
    count, error = fault(json.dumps({"inner": [{"n": 1}, {"n": "a"}, {"n": "b"}]}))
    assert (count, error.field) == (1, "inner[1].n")


def test_a_field_of_several_kinds_is_told_by_its_name() -> None:
    count, error = fault(json.dumps({"either": ["a"] * 1000 + [1] * 1000}))
    assert count == 3
    assert error.field == "either"
    assert error.reason == "is not as it has to be: Input should be a valid string, or: Input should be a valid integer"
