"""Names of formats of tool calls and reasoning in an order: checked before anything is exported."""

from __future__ import annotations

from attendant.bundle import REASONING_FORMATS, TOOL_FORMATS, FormatUnknown, check_format

from attendant_export.errors import ExportError


def check_formats(tools: str | None, reasoning: str | None) -> None:
    """Raises ExportError for a name that is no format's; None is fine."""
    asked = (("--tool-format", tools, TOOL_FORMATS), ("--reasoning-format", reasoning, REASONING_FORMATS))
    for flag, name, known in asked:
        try:
            if name:
                check_format(name, known)
        except FormatUnknown as error:
            raise ExportError(f"{flag} {error}") from None
