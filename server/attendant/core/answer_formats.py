"""The names of the formats that models write tool calls and reasoning in, and which of them a model has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NONE = "none"
"""Name in place of a format's: there are no tool calls, or no reasoning, or they are not to be told apart."""

HARMONY = "harmony"
"""The one format that is of tool calls and of reasoning at once."""

TOOL_FORMATS = (
    *("hermes", "llama3_json", "llama_pythonic", "mistral", "mistral_args", "granite", "phi4_mini"),
    *("deepseek_v3", "deepseek_v31", "qwen3_coder", HARMONY, NONE),
)
"""Of tool calls."""

REASONING_FORMATS = ("think", "mistral", "granite", HARMONY, NONE)
"""Of reasoning."""


class FormatUnknown(ValueError):
    """No format has the name that was asked for; names those that there are."""


def check_format(name: str, known: tuple[str, ...]) -> None:
    """Raises FormatUnknown for a name that is not one of ``known``."""
    if name not in known:
        raise FormatUnknown(f"is {name[:100]!r}; allowed: {', '.join(known)}")


@dataclass(frozen=True, slots=True)
class AnswerFormats:
    """How a model writes tool calls and reasoning: names of formats, each :data:`NONE` where it has none.

    Raises:
        FormatUnknown: one is no format's name.
    """

    tools: str = NONE
    reasoning: str = NONE

    def __post_init__(self) -> None:
        check_format(self.tools, TOOL_FORMATS)
        check_format(self.reasoning, REASONING_FORMATS)


NO_FORMATS = AnswerFormats()
"""Of a model that has neither, or of which nothing is known."""


def formats_by_model(text: str, known: tuple[str, ...]) -> Mapping[str, str]:
    """Names of formats by that of a model; empty for all others. Parted by commas, each ``[MODEL:] NAME``.

    Raises:
        FormatUnknown: one is no format's name.
        ValueError: a model is there twice.
    """
    found: dict[str, str] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        model, _, name = map(str.strip, part.rpartition(":"))
        check_format(name, known)
        if model in found:
            raise ValueError(f"has one for {model or 'all models'} twice; allowed: once")
        found[model] = name
    return found
