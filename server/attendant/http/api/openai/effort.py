"""How much a model is to think, as OpenAI's callers say it."""

from __future__ import annotations

from attendant.core.errors import InvalidRequest
from attendant.core.shown import shown

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def effort_of(asked: str | None, field: str = "reasoning_effort") -> str:
    """The effort that a conversation asks for; empty for none.

    Raises:
        InvalidRequest: it is none.
    """
    if asked is not None and asked not in EFFORTS:
        raise InvalidRequest(field, f"is {shown(asked)}; allowed: {', '.join(EFFORTS)}")
    return asked or ""
