"""What is to be encoded, in the forms in which callers of several APIs send it: a text, token ids, or lists of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import PlainValidator

from attendant.core.errors import InvalidRequest
from attendant.frontend.encoding.calls import TextItem

MOST_ITEMS = 2048
"""Of one call, as OpenAI has it."""

MOST_ID = 2**31 - 1
"""No model has a token with a greater one."""


def texts_or_ids(field: str) -> PlainValidator:
    """A validator of a text, token ids, or a list of either; it gives one item for each vector, and raises
    InvalidRequest, which names ``field``."""
    schema = str | list[str] | list[int] | list[list[int]]
    return PlainValidator(lambda value: _items(value, field), json_schema_input_type=schema)


def texts(field: str) -> PlainValidator:
    """A validator of a text, or of texts; it gives a list, and raises InvalidRequest, which names ``field``."""
    return PlainValidator(lambda value: _texts(value, field), json_schema_input_type=str | list[str])


def is_ids(value: Any) -> bool:
    """Whether it is a list of token ids, with at least one."""
    return isinstance(value, list) and bool(value) and all(type(each) is int and 0 <= each <= MOST_ID for each in value)


def check_ids(ids: Sequence[int], field: str) -> None:
    """Raises InvalidRequest, which names ``field``, for a number that is no model's token."""
    if ids and not 0 <= min(ids) <= max(ids) <= MOST_ID:
        raise InvalidRequest(field, f"has token ids that no model has; allowed: 0 to {MOST_ID}")


def check_number(items: Sequence[Any], field: str, most: int = MOST_ITEMS) -> None:
    """Raises InvalidRequest for more items than a call may have."""
    if len(items) > most:
        raise InvalidRequest(field, f"has {len(items)} items; allowed: at most {most}")


def _items(value: Any, field: str) -> list[TextItem]:
    if isinstance(value, str):
        return [TextItem(value)]
    if not isinstance(value, list) or not value:
        raise InvalidRequest(field, "is no text and no list with something in it; allowed: texts, or token ids")
    if is_ids(value):
        return [TextItem(token_ids=value)]
    check_number(value, field)
    return [_item(item, f"{field}[{index}]", of_texts=isinstance(value[0], str)) for index, item in enumerate(value)]


def _item(item: Any, field: str, *, of_texts: bool) -> TextItem:
    if of_texts and isinstance(item, str):
        return TextItem(item)
    if not of_texts and is_ids(item):
        return TextItem(token_ids=item)
    allowed = "a text, as the first one" if of_texts else "token ids: whole numbers, at least one"
    raise InvalidRequest(field, f"is not as it has to be; allowed: {allowed}")


def _texts(value: Any, field: str) -> list[str]:
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not found or not all(isinstance(each, str) for each in found):
        raise InvalidRequest(field, "is no text, nor texts; allowed: a text, or a list with at least one")
    check_number(found, field)
    return found
