"""Tools as OpenAI's callers declare and choose them, in both of its APIs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from attendant.core.chat import Tool, ToolChoice
from attendant.core.errors import InvalidRequest
from attendant.core.shown import shown
from attendant.http.api.openai.refusals import word
from attendant.http.api.openai.structured import check_fields

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FUNCTION_FIELDS = ("name", "description", "parameters", "strict")


def chat_tools(tools: Sequence[Mapping[str, Any]], field: str = "tools") -> tuple[Tool, ...]:
    """The tools of a body of Chat Completions, each as it was written: templates show them to the model.

    Raises:
        InvalidRequest: one is no function, or not as it has to be; or two have one name.
    """
    found: list[Tool] = []
    for index, tool in enumerate(tools):
        where = f"{field}[{index}]"
        _check_kind(tool, where)
        check_fields(tool, ("type", "function"), where)
        function = tool.get("function")
        if not isinstance(function, dict):
            raise InvalidRequest(f"{where}.function", f"is {shown(function)}; allowed: an object")
        found.append(_tool(function, f"{where}.function"))
    return _distinct(found, field)


def legacy_tools(functions: Sequence[Mapping[str, Any]]) -> tuple[Tool, ...]:
    """The same of ``functions``, which were before tools were.

    Raises:
        InvalidRequest: as of :func:`chat_tools`.
    """
    return _distinct([_tool(each, f"functions[{index}]") for index, each in enumerate(functions)], "functions")


def response_tools(tools: Sequence[Mapping[str, Any]]) -> tuple[Tool, ...]:
    """The tools of a body of Responses, whose fields stand beside ``type``; templates see those of Chat Completions.

    Raises:
        InvalidRequest: as of :func:`chat_tools`.
    """
    found: list[Tool] = []
    for index, tool in enumerate(tools):
        where = f"tools[{index}]"
        _check_kind(tool, where)
        off = {"defer_loading": (None, False), "async": (None, False), "allowed_callers": (None, [], ["direct"])}
        for name, allowed in off.items():
            if tool.get(name) not in allowed:
                raise InvalidRequest(f"{where}.{name}", f"is {shown(tool[name])}; allowed: nothing")
        if tool.get("output_schema") is not None:
            raise InvalidRequest(f"{where}.output_schema", "is given; allowed: nothing, as models do not see it")
        left_out = ("type", "output_schema", *off)
        found.append(_tool({name: value for name, value in tool.items() if name not in left_out}, where))
    return _distinct(found, "tools")


def chat_choice(asked: Any, tools: Sequence[Tool], *, parallel: bool) -> ToolChoice | None:
    """``tool_choice`` of Chat Completions; None where there is nothing to choose.

    Raises:
        InvalidRequest: it is none, or names a tool that there is not.
    """
    if isinstance(asked, dict):
        match asked.get("type"):
            case "function":
                check_fields(asked, ("type", "function"), "tool_choice")
                return _named(_inner(asked, "function", "tool_choice").get("name"), tools, "tool_choice.function.name")
            case "allowed_tools":
                check_fields(asked, ("type", "allowed_tools"), "tool_choice")
                inner = _inner(asked, "allowed_tools", "tool_choice")
                return _allowed(inner, tools, "tool_choice.allowed_tools", parallel=parallel, nested=True)
    return _mode(asked, tools, parallel=parallel)


def response_choice(asked: Any, tools: Sequence[Tool], *, parallel: bool) -> ToolChoice | None:
    """``tool_choice`` of Responses; None where there is nothing to choose.

    Raises:
        InvalidRequest: it is none, or names a tool that there is not.
    """
    if isinstance(asked, dict):
        match asked.get("type"):
            case "function":
                check_fields(asked, ("type", "name"), "tool_choice")
                return _named(asked.get("name"), tools, "tool_choice.name")
            case "allowed_tools":
                inner = {name: value for name, value in asked.items() if name != "type"}
                return _allowed(inner, tools, "tool_choice", parallel=parallel, nested=False)
    return _mode(asked, tools, parallel=parallel)


def legacy_choice(asked: Any, tools: Sequence[Tool]) -> ToolChoice | None:
    """``function_call``, which was before ``tool_choice`` was: one function at most.

    Raises:
        InvalidRequest: it is none, or names a function that there is not.
    """
    if isinstance(asked, dict):
        check_fields(asked, ("name",), "function_call")
        return _named(asked.get("name"), tools, "function_call.name")
    if asked not in (None, "auto", "none"):
        raise InvalidRequest("function_call", f'is {shown(asked)}; allowed: "auto", "none", {{"name": ...}}')
    return ToolChoice(asked or "auto", parallel=False) if tools else None


def _mode(asked: Any, tools: Sequence[Tool], *, parallel: bool) -> ToolChoice | None:
    if asked not in (None, "auto", "none", "required"):
        raise InvalidRequest(
            "tool_choice", f"is {shown(asked)}; allowed: auto, none, required, or an object that names functions"
        )
    if asked == "required" and not tools:
        raise InvalidRequest("tool_choice", 'is "required"; allowed without tools: auto, none')
    return ToolChoice(asked or "auto", parallel=parallel) if tools else None


def _named(name: Any, tools: Sequence[Tool], field: str) -> ToolChoice:
    _check_known(name, _names(tools), field)
    return ToolChoice("named", (name,), parallel=False)


def _allowed(
    asked: Mapping[str, Any], tools: Sequence[Tool], field: str, *, parallel: bool, nested: bool
) -> ToolChoice:
    check_fields(asked, ("mode", "tools"), field)
    mode, listed = asked.get("mode"), asked.get("tools")
    if mode not in ("auto", "required"):
        raise InvalidRequest(f"{field}.mode", f"is {shown(mode)}; allowed: auto, required")
    if not isinstance(listed, list) or not listed:
        raise InvalidRequest(f"{field}.tools", f"is {shown(listed)}; allowed: a list of functions, at least one")
    known, names = _names(tools), list[str]()
    for index, each in enumerate(listed):
        where = f"{field}.tools[{index}]"
        if not isinstance(each, dict):
            raise InvalidRequest(where, f"is {shown(each)}; allowed: an object")
        _check_kind(each, where)
        inner = _inner(each, "function", where) if nested else each
        name = inner.get("name")
        _check_known(name, known, f"{where}.function.name" if nested else f"{where}.name")
        names.append(str(name))
    return ToolChoice(mode, tuple(names), parallel)


def _inner(asked: Mapping[str, Any], name: str, field: str) -> Mapping[str, Any]:
    found = asked.get(name)
    if not isinstance(found, dict):
        raise InvalidRequest(f"{field}.{name}", f"is {shown(found)}; allowed: an object")
    return found


def _names(tools: Sequence[Tool]) -> dict[str, None]:
    """In order."""
    return dict.fromkeys([tool.name for tool in tools])


def _check_known(name: Any, known: Mapping[str, None], field: str) -> None:
    if word(name) not in known:
        raise InvalidRequest(field, f"is {shown(name)}; allowed: {', '.join(known) or 'none, as there are no tools'}")


def _check_kind(tool: Mapping[str, Any], field: str) -> None:
    kind = tool.get("type")
    if kind != "function":
        raise InvalidRequest(f"{field}.type", f'is {shown(kind)}; allowed: "function", as this server runs no tools')


def _tool(function: Mapping[str, Any], field: str) -> Tool:
    check_fields(function, _FUNCTION_FIELDS, field)
    name, parameters = function.get("name"), function.get("parameters")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidRequest(f"{field}.name", f"is {shown(name)}; allowed: 1 to 64 of letters, digits, _ and -")
    if not isinstance(function.get("description"), str | None):
        raise InvalidRequest(f"{field}.description", f"is {shown(function['description'])}; allowed: a text")
    if parameters is not None and not isinstance(parameters, dict):
        raise InvalidRequest(f"{field}.parameters", f"is {shown(parameters)}; allowed: a JSON schema, as an object")
    if function.get("strict") not in (None, True, False):
        raise InvalidRequest(f"{field}.strict", f"is {shown(function['strict'])}; allowed: true, false")
    said = {key: value for key, value in function.items() if value is not None}
    return Tool(name, {"type": "function", "function": said})


def _distinct(tools: Sequence[Tool], field: str) -> tuple[Tool, ...]:
    seen: set[str] = set()
    for index, tool in enumerate(tools):
        if tool.name in seen:
            raise InvalidRequest(f"{field}[{index}]", f"has the name {shown(tool.name)}, as one before it")
        seen.add(tool.name)
    return tuple(tools)
