"""Objects that say themselves what they are, by one of their fields."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Any

from pydantic import PlainValidator
from pydantic_core import PydanticCustomError

from attendant.http.api.bodies import ApiBody


def one_of(kinds: Mapping[str, type[ApiBody]], key: str = "type") -> PlainValidator:
    """Reads an object as the kind that its field ``key`` names. What is wrong with it stands in the error under the
    object's own fields; a kind that is not there is refused with those that are."""

    def read(value: Any) -> ApiBody:
        said = value.get(key) if isinstance(value, dict) else None
        kind = kinds.get(said) if isinstance(said, str) else None
        if kind is None:
            found = f"it has {key} {str(said)[:40]!r}" if isinstance(value, dict) else "it is no object"
            told = {"found": found, "allowed": f"{key} {', '.join(map(repr, kinds))}"}
            raise PydanticCustomError("kind", "{found}; allowed: {allowed}", told)
        return kind.model_validate(value)

    return PlainValidator(read, json_schema_input_type=union_of(kinds))


def union_of(kinds: Mapping[str, type[ApiBody]]) -> Any:
    """The type of an object of any of these kinds, as documentation has it."""
    return reduce(or_, kinds.values())
