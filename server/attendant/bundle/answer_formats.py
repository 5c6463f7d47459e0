"""Which formats of tool calls and reasoning a chat template speaks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from attendant.bundle.templates import DEFAULT_TEMPLATE, TOOLS_TEMPLATE
from attendant.core.answer_formats import HARMONY, NONE, AnswerFormats

_LIST_OF_CALLS = re.compile(r"\[\w+\(\w+=")
"""What templates tell a model to write: [func_name(name=value, ...)]."""

Speaks = Callable[[str], bool]


def _has(*marks: str) -> Speaks:
    """Says of a template whether it has all of some texts."""
    return lambda template: all(mark in template for mark in marks)


_TOOLS: Mapping[str, Speaks] = {
    HARMONY: _has("<|channel|>", "<|start|>"),
    "deepseek_v3": _has("<｜tool▁calls▁begin｜>", "```json"),
    "deepseek_v31": _has("<｜tool▁calls▁begin｜>"),
    "mistral_args": _has("[TOOL_CALLS]", "[ARGS]"),
    "mistral": _has("[TOOL_CALLS]"),
    "qwen3_coder": _has("<function="),
    "phi4_mini": lambda template: "functools" in template or "<|/tool_call|>" in template or "<|/tool|>" in template,
    "granite": _has("<|tool_call|>"),
    "hermes": _has("<tool_call>"),
    "llama_pythonic": lambda template: "<|python_start|>" in template or _LIST_OF_CALLS.search(template) is not None,
    "llama3_json": lambda template: any(
        mark in template for mark in ("<|python_tag|>", "Environment: ipython", '"parameters": dictionary of argument')
    ),
}
"""In the order in which they are looked for: a mark of a later one may be in a template of an earlier one."""

_REASONING: Mapping[str, Speaks] = {
    HARMONY: _TOOLS[HARMONY],
    "mistral": _has("[THINK]"),
    "granite": lambda template: "my thought process" in template and "</think>" not in template,
    "think": lambda template: "</think>" in template or "<think>" in template,
}


def formats_of(templates: Mapping[str, str], tools: str | None = None, reasoning: str | None = None) -> AnswerFormats:
    """The formats that chat templates speak, by the marks that they write; sources of templates by name. Of tools the
    template for them has the first word.

    Args:
        tools, reasoning: names of formats that are known already.

    Raises:
        FormatUnknown: one of them is no format's name.
    """
    ordered = [templates[name] for name in (TOOLS_TEMPLATE, DEFAULT_TEMPLATE) if name in templates]
    ordered += [source for name, source in sorted(templates.items()) if name not in (TOOLS_TEMPLATE, DEFAULT_TEMPLATE)]
    return AnswerFormats(tools or _first(_TOOLS, ordered), reasoning or _first(_REASONING, ordered))


def _first(known: Mapping[str, Speaks], templates: list[str]) -> str:
    for template in templates:
        for name, speaks in known.items():
            if speaks(template):
                return name
    return NONE
