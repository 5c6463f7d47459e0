"""What JSON is, and what only Python takes for it."""

from __future__ import annotations

import pytest
from attendant.core.strict_json import read_json


def test_json_is_read() -> None:
    assert read_json('{"a": [1, -2.5e3, true, null, "NaN"]}') == {"a": [1, -2500.0, True, None, "NaN"]}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a": NaN}', "it has NaN"),
        ("[Infinity]", "it has Infinity"),
        ("-Infinity", "it has -Infinity"),
        ("[" * 200_000, "it is nested too deeply"),
        ("{", "Expecting property name"),
        ("", "Expecting value"),
    ],
)
def test_what_is_none_is_refused_with_a_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=f"^{why}"):
        read_json(text)
