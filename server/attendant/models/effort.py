"""How much a model is to think, in the words that its chat template has for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attendant.bundle import TemplateHabits
from attendant.core.errors import InvalidRequest

_LEVEL = "reasoning_effort"
_SWITCHES = ("enable_thinking", "thinking")
"""Variables by which templates know whether to think at all."""


def effort_variables(effort: str, habits: TemplateHabits) -> Mapping[str, Any]:
    """Variables of a template: a level where it has levels, and else a switch. A template that has neither is of a
    model that does not think, or cannot help it: only ``none`` asks nothing of it.

    Raises:
        InvalidRequest: the template has nothing to say it by.
    """
    known = [name for name in (_LEVEL, *_SWITCHES) if name in habits.variables]
    if not effort or (not known and effort == "none"):
        return {}
    if not known:
        raise InvalidRequest(
            _LEVEL, f"is {effort[:100]!r}, and the model's chat template has nothing to set; allowed: 'none'"
        )
    return {name: effort if name == _LEVEL else effort != "none" for name in known}
