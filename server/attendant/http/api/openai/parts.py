"""What a message says, as a text or in parts: each API of OpenAI's has kinds of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from attendant.core.chat import ContentPart, MediaPart, TextPart
from attendant.core.errors import InvalidRequest
from attendant.core.shown import shown
from attendant.http.api.openai.refusals import word
from attendant.http.api.openai.structured import check_fields


@dataclass(frozen=True, slots=True)
class PartKinds:
    """The kinds of parts of one API.

    Attributes:
        texts: kinds of texts, and the field that has each.
        media: kinds of all else, and what models call it.
        told: fields that parts of answers have besides, by their kind: such a part may be sent back.
    """

    texts: Mapping[str, str]
    media: Mapping[str, str]
    told: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def content_of(content: Any, kinds: PartKinds, field: str) -> str | tuple[ContentPart, ...]:
    """A text, or parts.

    Raises:
        InvalidRequest: it is neither, or a part is not as it has to be.
    """
    if isinstance(content, str):
        return content
    if not isinstance(content, list | tuple):
        raise InvalidRequest(field, f"is {shown(content)}; allowed: a text, or a list of parts")
    return tuple([_part(part, kinds, f"{field}[{index}]") for index, part in enumerate(content)])


def _part(part: Any, kinds: PartKinds, field: str) -> ContentPart:
    if not isinstance(part, dict):
        raise InvalidRequest(field, f"is {shown(part)}; allowed: an object with a type")
    kind = word(part.get("type"))
    if kind in kinds.media:
        return MediaPart(kinds.media[kind])
    if kind not in kinds.texts:
        allowed = ", ".join([*kinds.texts, *kinds.media])
        raise InvalidRequest(f"{field}.type", f"is {shown(part.get('type'))}; allowed: {allowed}")
    name = kinds.texts[kind]
    check_fields(part, ("type", name, *kinds.told.get(kind, ())), field)
    text = part.get(name)
    if not isinstance(text, str):
        raise InvalidRequest(f"{field}.{name}", f"is {shown(text)}; allowed: a text")
    return TextPart(text)
