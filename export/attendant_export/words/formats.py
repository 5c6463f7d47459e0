"""How a model writes tool calls and reasoning: as an order says, or as its chat templates have it."""

from __future__ import annotations

from collections.abc import Mapping

from attendant.bundle import AnswerFormats, FormatUnknown, formats_of

from attendant_export.errors import ExportError

NONE = AnswerFormats().tools


def check_formats(tools: str | None, reasoning: str | None) -> None:
    """Raises ExportError for a name that is no format's; None is fine."""
    try:
        AnswerFormats(tools or NONE)
    except FormatUnknown as error:
        raise ExportError(f"--tool-format {error}") from None
    try:
        AnswerFormats(reasoning=reasoning or NONE)
    except FormatUnknown as error:
        raise ExportError(f"--reasoning-format {error}") from None


def answer_formats(templates: Mapping[str, str], tools: str | None, reasoning: str | None) -> AnswerFormats:
    """The formats that were ordered; those that were not, as the templates have them."""
    found = formats_of(templates)
    return AnswerFormats(tools or found.tools, reasoning or found.reasoning)
