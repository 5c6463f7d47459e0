"""Names of formats of tool calls and reasoning in an order: checked before anything is exported."""

from __future__ import annotations

from attendant.bundle import AnswerFormats, FormatUnknown

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
