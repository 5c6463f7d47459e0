"""Fields of OpenAI's API that this server does not do: refused by name, unless what they say means "off"."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from attendant.core.errors import InvalidRequest
from attendant.core.shown import shown


@dataclass(frozen=True, slots=True)
class Refusal:
    """A field that is not done.

    Attributes:
        why: it is not, or what there is instead; empty for no more than that.
        off: values that ask for nothing, besides null, false and what is empty, which 0 is not.
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
        asks = value or (type(value) in (int, float))  # no number is nothing, 0 least of all
        if asks and value not in refusal.off:
            allowed = " or ".join([json.dumps(each) for each in refusal.off] or ["nothing"])
            why = f": {refusal.why}" if refusal.why else ""
            raise InvalidRequest(f"{within}{field}", f"is {shown(value)}; allowed: {allowed}{why}")


def word(value: Any) -> str:
    """A value that has to be a word, to be looked up; whatever is none is the empty one."""
    return value if isinstance(value, str) else ""
