"""How calls are written in each format, piece by piece: what a grammar has to ask for, so that a parser can read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from attendant.frontend.answers import deepseek, harmony, xml_calls

NAME, ARGUMENTS = "\0name", "\0arguments"
"""Places for those of a call."""

_OBJECT = ('{"name": "', NAME, '", "arguments": ', ARGUMENTS, "}")


@dataclass(frozen=True, slots=True)
class Layout:
    """The pieces of calls: texts, marks that may be tokens of their own, places.

    Attributes:
        begin, end: around all calls. call: one of them. between: two of them.
        arguments: how they are written: as a JSON object, as Python's arguments, as text between tags.
    """

    call: tuple[str, ...]
    begin: tuple[str, ...] = ()
    between: tuple[str, ...] = ()
    end: tuple[str, ...] = ()
    arguments: Literal["json", "python", "xml"] = "json"

    @property
    def lead(self) -> str:
        """What calls begin with."""
        return (self.begin or self.call)[0]


LAYOUTS: Mapping[str, Layout] = {
    "hermes": Layout(
        ("<tool_call>", '\n{"name": "', NAME, '", "arguments": ', ARGUMENTS, "}\n", "</tool_call>"), between=("\n",)
    ),
    "llama3_json": Layout(('{"name": "', NAME, '", "parameters": ', ARGUMENTS, "}"), between=("; ",)),
    "llama_pythonic": Layout((NAME, "(", ARGUMENTS, ")"), ("[",), (", ",), ("]",), "python"),
    "mistral": Layout(_OBJECT, ("[TOOL_CALLS]", "["), (", ",), ("]",)),
    "mistral_args": Layout(("[TOOL_CALLS]", NAME, "[ARGS]", ARGUMENTS)),
    "granite": Layout(_OBJECT, ("<|tool_call|>", "["), (", ",), ("]",)),
    "phi4_mini": Layout(_OBJECT, ("<|tool_call|>", "["), (", ",), ("]", "<|/tool_call|>")),
    "deepseek_v3": Layout(
        (deepseek.BEGIN, "function", deepseek.SEPARATOR, NAME, "\n```json\n", ARGUMENTS, "\n```", deepseek.END),
        (deepseek.ALL_BEGIN,),
        ("\n",),
        (deepseek.ALL_END,),
    ),
    "deepseek_v31": Layout(
        (deepseek.BEGIN, NAME, deepseek.SEPARATOR, ARGUMENTS, deepseek.END),
        (deepseek.ALL_BEGIN,),
        (),
        (deepseek.ALL_END,),
    ),
    "qwen3_coder": Layout(
        (xml_calls.TAG, "\n<function=", NAME, ">\n", ARGUMENTS, "</function>\n", xml_calls.END_TAG),
        between=("\n",),
        arguments="xml",
    ),
    "harmony": Layout(
        (
            *(harmony.CHANNEL, "commentary to=functions.", NAME, " ", harmony.CONSTRAIN, "json", harmony.MESSAGE),
            ARGUMENTS,
        ),
        between=(harmony.CALL, harmony.START, "assistant"),
    ),
}
"""By name of the format."""
