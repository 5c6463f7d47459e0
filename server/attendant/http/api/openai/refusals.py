"""Fields of OpenAI's API that this server does not do: refused by name, unless what they say means "off"."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from attendant.core.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Refusal:
    """A field that is not done.

    Attributes:
        why: it is not, or what there is instead; empty for no more than that.
        off: values that ask for nothing, besides null, false and what is empty.
    """

    why: str = ""
    off: tuple[object, ...] = ()


def check_refused(body: BaseModel, refused: Mapping[str, Refusal], within: str = "") -> None:
    """Refuse what ``refused`` names, where ``body`` asks for it. ``within``: what stands before the fields' names.

    Raises:
        InvalidRequest: naming the field and what is allowed.
    """
    for field, refusal in refused.items():
        value = getattr(body, field)
        if value and value not in refusal.off:
            allowed = " or ".join([json.dumps(each) for each in refusal.off] or ["nothing"])
            why = f": {refusal.why}" if refusal.why else ""
            raise InvalidRequest(f"{within}{field}", f"is {shown(value)}; allowed: {allowed}{why}")


def shown(value: Any, most: int = 60) -> str:
    """A value as an error shows it: as JSON, of which no more is written than the first ``most`` characters."""
    text = ""
    for piece in _written(value, most):
        text += piece
        if len(text) > most:
            return f"{text[:most]}..."
    return text


def _written(value: Any, most: int) -> Iterator[str]:
    """A value as JSON, piece by piece; of a text that is longer, ``most`` characters."""
    match value:
        case str():
            yield json.dumps(value[:most], ensure_ascii=False)
        case dict():
            yield "{"
            for number, (name, each) in enumerate(value.items()):
                yield f"{', ' if number else ''}{json.dumps(str(name)[:most], ensure_ascii=False)}: "
                yield from _written(each, most)
            yield "}"
        case list() | tuple():
            yield "["
            for number, each in enumerate(value):
                yield ", " if number else ""
                yield from _written(each, most)
            yield "]"
        case None | bool() | int() | float():
            yield json.dumps(value)
        case _:
            yield repr(value)


def word(value: Any) -> str:
    """A value that has to be a word, to be looked up; whatever is none is the empty one."""
    return value if isinstance(value, str) else ""
