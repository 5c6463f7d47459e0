"""What a chat template looks at, and in which form: found out once, by having it write short conversations."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import nodes
from jinja2.meta import find_undeclared_variables

_GIVEN = frozenset(("messages", "tools", "documents", "add_generation_prompt"))
"""Names that every conversation gives to a template."""

_TOKENS = frozenset(f"{kind}_token" for kind in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))
_NEEDLE = "hay2needle"
_SHOWN_AS_DATA = re.compile(rf"""text["']\s*:\s*["']{_NEEDLE}""")
_CALL_ID = "needle123"  # of nine letters and digits, as Mistral's templates want it

Write = Callable[[list[dict[str, Any]]], str | None]
"""Writes a conversation; None where the template refuses it."""


@dataclass(frozen=True, slots=True)
class TemplateHabits:
    """The habits of one template.

    Attributes:
        tools, documents: whether it looks at them.
        variables: names of what else it looks at, beside special tokens; sorted.
        developer: whether it knows the role.
        parts: roles of messages whose contents may come in parts. only_parts: those whose texts have to.
        text_arguments: it puts together the arguments of tool calls as text; others write an object as JSON.
        needs_content: a message with tool calls needs a content, be it empty.
    """

    tools: bool
    documents: bool
    variables: tuple[str, ...]
    developer: bool
    parts: frozenset[str]
    only_parts: frozenset[str]
    text_arguments: bool
    needs_content: bool


def habits_of(tree: nodes.Template, write: Write, special_tokens: Sequence[str]) -> TemplateHabits:
    """The habits of the template with this syntax tree. ``special_tokens``: names of variables that are tokens."""
    developer = any(node.value == "developer" for node in tree.find_all(nodes.Const))  # before constants are folded
    names = _looked_up(tree)
    roles = ("system", "user", "assistant", "tool", *(("developer",) if developer else ()))
    tries = {role: (_shows(write, role, _NEEDLE), _shows(write, role, _parts(_NEEDLE))) for role in roles}
    return TemplateHabits(
        tools="tools" in names,
        documents="documents" in names,
        variables=tuple(sorted(names - _GIVEN - _TOKENS - set(special_tokens))),
        developer=developer,
        parts=frozenset(role for role, (_, as_parts) in tries.items() if as_parts),
        only_parts=frozenset(role for role, (as_text, as_parts) in tries.items() if as_parts and not as_text),
        text_arguments=_wants_text_arguments(write),
        needs_content=write(_called({_NEEDLE: 1}, None)) is None and write(_called({_NEEDLE: 1}, "")) is not None,
    )


def _looked_up(tree: nodes.Template) -> set[str]:
    """Names that the template takes from whoever renders it. One that it sets itself is none of them, unless it first
    asks whether it is there."""
    own = {node.name for node in tree.find_all(nodes.Name) if node.ctx == "store"}
    asked = {
        node.node.name
        for node in tree.find_all((nodes.Test, nodes.Filter))
        if node.name in ("defined", "undefined", "default", "d") and isinstance(node.node, nodes.Name)
    }
    return find_undeclared_variables(tree) - (own - asked)


def _parts(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


def _shows(write: Write, role: str, content: Any) -> bool:
    """Whether the template writes the text of a message's content, and not the data that it is part of."""
    text = write(_conversation(role, content)) or ""
    return _NEEDLE in text and _SHOWN_AS_DATA.search(text) is None


def _conversation(role: str, content: Any) -> list[dict[str, Any]]:
    """One with a message of this role and content, and all others in the form that the role's template writes."""
    message = {"role": role, "content": content}
    like = _parts if isinstance(content, list) else str
    question = {"role": "user", "content": like("q")}
    match role:
        case "user":
            return [message]
        case "assistant":
            return [question, message, question]
        case "tool":
            return [*_called({"a": 1}, "", question)[:2], {**message, "tool_call_id": _CALL_ID}]
    return [message, question]


def _called(arguments: Any, content: str | None, question: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """A conversation with a call of a tool, which has these arguments."""
    function = {"name": "find", "arguments": arguments}
    call: dict[str, Any] = {
        "role": "assistant",
        **({} if content is None else {"content": content}),
        "tool_calls": [{"id": _CALL_ID, "type": "function", "function": function}],
    }
    result = {"role": "tool", "content": "r", "tool_call_id": _CALL_ID}
    return [dict(question or {"role": "user", "content": "q"}), call, result]


def _wants_text_arguments(write: Write) -> bool:
    """Whether the arguments have to be a text: an object is refused, or written as Python writes it."""
    of_object = write(_called({_NEEDLE: 1}, ""))
    if of_object is not None and f"'{_NEEDLE}':" not in of_object:
        return False
    of_text = write(_called(json.dumps({_NEEDLE: 1}), ""))
    return of_text is not None and f'"{_NEEDLE}":' in of_text
