"""How much a model is to think, as OpenAI's callers say it, in the words that chat templates know."""

from __future__ import annotations

from typing import Any

from attendant.core.errors import InvalidRequest

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def effort_variables(effort: str | None, field: str = "reasoning_effort") -> dict[str, Any]:
    """Variables of the template.

    Raises:
        InvalidRequest: it is no effort.
    """
    if effort is None:
        return {}
    if effort not in EFFORTS:
        raise InvalidRequest(field, f"is {effort[:60]!r}; allowed: {', '.join(EFFORTS)}")
    return {"reasoning_effort": effort, "enable_thinking": effort != "none"}
