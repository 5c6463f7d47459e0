"""The table of formats: what marks a call, and what reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from attendant.frontend.answers import deepseek, xml_calls
from attendant.frontend.answers.call_objects import call_objects
from attendant.frontend.answers.python_calls import python_calls
from attendant.frontend.answers.reader import SPACE, NoCall, Reader, Step
from attendant.frontend.answers.reasoning import ReasoningMarks
from attendant.frontend.answers.tagged import Tagged, llama_section, mistral_section
from attendant.frontend.answers.told import Told


class Section(Protocol):
    """Reads calls, from behind the mark that they begin with to their end. It marks the reader anew after each whole
    call. Raises NoCall where what comes is none."""

    def __call__(self, reader: Reader, told: Told) -> Step[None]: ...


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """A format of tool calls.

    Attributes:
        sections: what reads calls, by the mark that they begin with, anywhere in an answer.
        bare: reads calls that an answer may begin with, without a mark; by their first character.
        marks: texts of special tokens that the format needs to see.
        id_length: letters of ids, where models' templates insist; 0: they do not.
    """

    sections: Mapping[str, Section]
    bare: Mapping[str, Section] = field(default_factory=dict)
    marks: tuple[str, ...] = ()
    id_length: int = 0


def _bare_list(reader: Reader, told: Told) -> Step[None]:
    yield from reader.expect("[")
    yield from python_calls(reader, told)


def _python_section(reader: Reader, told: Told) -> Step[None]:
    yield from reader.whole_run(SPACE)
    if not (yield from reader.take_one_of(("[",))):
        raise NoCall
    yield from python_calls(reader, told)
    yield from reader.whole_run(SPACE)
    yield from reader.take_one_of(("<|python_end|>",))


def _functools(reader: Reader, told: Told) -> Step[None]:
    reader.give_back("[")  # the word alone marks no call
    yield from call_objects(reader, told)


_MISTRAL = ToolFormat(
    {"[TOOL_CALLS]": mistral_section}, marks=("[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", "[TOOL_CONTENT]"), id_length=9
)
_DEEPSEEK = ToolFormat(
    {deepseek.ALL_BEGIN: deepseek.deepseek_section, deepseek.BEGIN: deepseek.deepseek_section},
    marks=(deepseek.ALL_BEGIN, deepseek.BEGIN, deepseek.SEPARATOR, deepseek.END, deepseek.ALL_END),
)

TOOL_PARSERS: Mapping[str, ToolFormat] = {
    "hermes": ToolFormat({"<tool_call>": Tagged(("</tool_call>",))}, marks=("<tool_call>", "</tool_call>")),
    "llama3_json": ToolFormat({"<|python_tag|>": llama_section}, bare={"{": call_objects}, marks=("<|python_tag|>",)),
    "llama_pythonic": ToolFormat(
        {"<|python_start|>": _python_section, "<|python_tag|>": _python_section},
        bare={"[": _bare_list},
        marks=("<|python_start|>", "<|python_end|>", "<|python_tag|>"),
    ),
    "mistral": _MISTRAL,
    "mistral_args": _MISTRAL,
    "granite": ToolFormat(
        {"<|tool_call|>": Tagged(), "<tool_call>": Tagged(("</tool_call>",))},
        marks=("<|tool_call|>", "<tool_call>", "</tool_call>"),
    ),
    "phi4_mini": ToolFormat(
        {"functools[": _functools, "<|tool_call|>": Tagged(("<|/tool_call|>",))},
        marks=("<|tool_call|>", "<|/tool_call|>"),
    ),
    "deepseek_v3": _DEEPSEEK,
    "deepseek_v31": _DEEPSEEK,
    "qwen3_coder": ToolFormat(
        {xml_calls.TAG: xml_calls.XmlSection(tagged=True), xml_calls.FUNCTION: xml_calls.XmlSection(tagged=False)},
        marks=(xml_calls.TAG, xml_calls.END_TAG),
    ),
}
"""By name; harmony is a parser of its own, since there an answer is nothing but messages."""

REASONING_MARKS: Mapping[str, ReasoningMarks] = {
    "think": ReasoningMarks(("<think>",), ("</think>",)),
    "mistral": ReasoningMarks(("[THINK]",), ("[/THINK]",)),
    "granite": ReasoningMarks(
        ("Here is my thought process:", "Here's my thought process:"), ("Here is my response:", "Here's my response:")
    ),
}
