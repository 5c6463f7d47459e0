"""Answers as models write them, in every format, and ways to tell them apart."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from attendant.core.answer_formats import AnswerFormats
from attendant.frontend.answers.parser import AnswerParser
from attendant.frontend.answers.told import Piece, joined, without

WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "metric": {"type": "boolean"},
        "note": {"type": ["string", "null"]},
        "spots": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["city"],
}
TOOLS: dict[str, dict[str, Any]] = {"get_weather": WEATHER, "get_time": {"type": "object", "properties": {}}}


@dataclass(frozen=True)
class Found:
    """What came of an answer: text, reasoning, all pieces of calls that were told, and those that are whole."""

    text: str
    reasoning: str
    told: tuple[tuple[str, str], ...]
    calls: tuple[tuple[str, Any], ...]
    unparsed: bool


def tell_apart(
    pieces: Iterable[str],
    tools: str = "none",
    reasoning: str = "none",
    *,
    schemas: dict[str, dict[str, Any]] | None = TOOLS,
    thinking: bool = False,
) -> Found:
    """What comes of an answer in pieces. Checks on the way what holds for all answers."""
    parser = AnswerParser(AnswerFormats(tools, reasoning), schemas, thinking=thinking)
    parts = [*map(parser.push, pieces), parser.finish()]
    return found_in(parts, parser)


def found_in(parts: Sequence[Piece], parser: AnswerParser) -> Found:
    told = [delta for part in parts for delta in part.tool_calls]
    calls = joined(sorted(told, key=lambda delta: delta.index))
    assert [call.index for call in calls] == list(range(len(calls)))
    assert all(call.id and call.name for call in calls)
    assert len({call.id for call in calls}) == len(calls)
    assert all(not delta.id and not delta.name for delta in told if delta not in _firsts(told))
    whole = without(told, parser.broken)
    assert len(whole) == parser.num_tool_calls
    return Found(
        "".join(part.text for part in parts),
        "".join(part.reasoning for part in parts),
        tuple((call.name, call.arguments) for call in calls),
        tuple((call.name, _object(call.arguments)) for call in whole),
        parser.unparsed,
    )


def _firsts(told: Sequence[Any]) -> list[Any]:
    return [next(delta for delta in told if delta.index == index) for index in {delta.index for delta in told}]


def _object(text: str) -> dict[str, Any]:
    found = json.loads(text, parse_constant=lambda name: 1 / 0)
    assert isinstance(found, dict)
    return found


BAR, LOW = "\N{FULLWIDTH VERTICAL LINE}", "\N{LOWER ONE EIGHTH BLOCK}"


def deepseek(name: str) -> str:
    """A token of DeepSeek's: its name with bars and blocks for spaces."""
    return f"<{BAR}{name.replace(' ', LOW)}{BAR}>"


_ALL, _ALL_END = deepseek("tool calls begin"), deepseek("tool calls end")
_ONE, _SEP, _ONE_END = deepseek("tool call begin"), deepseek("tool sep"), deepseek("tool call end")

PARIS = ("get_weather", {"city": "Paris", "days": 3})
TIME: tuple[str, dict[str, Any]] = ("get_time", {})
_JSON = '{"city": "Paris", "days": 3}'

TWO_CALLS: dict[str, str] = {
    "hermes": f'<tool_call>\n{{"name": "get_weather", "arguments": {_JSON}}}\n</tool_call>\n'
    '<tool_call>\n{"name": "get_time", "arguments": {}}\n</tool_call>',
    "llama3_json": f'<|python_tag|>{{"name": "get_weather", "parameters": {_JSON}}}; '
    '{"name": "get_time", "parameters": {}}',
    "llama_pythonic": "<|python_start|>[get_weather(city='Paris', days=3), get_time()]<|python_end|>",
    "mistral": f'[TOOL_CALLS][{{"name": "get_weather", "arguments": {_JSON}, "id": "abcdefghi"}}, '
    '{"name": "get_time", "arguments": {}, "id": "123456789"}]',
    "mistral_args": f"[TOOL_CALLS]get_weather[ARGS]{_JSON}[TOOL_CALLS]get_time[CALL_ID]abcdefghi[ARGS]{{}}",
    "granite": f'<|tool_call|>[{{"name": "get_weather", "arguments": {_JSON}}}, '
    '{"arguments": {}, "name": "get_time"}]',
    "phi4_mini": f'<|tool_call|>[{{"name": "get_weather", "arguments": {_JSON}}}, '
    '{"name": "get_time", "arguments": {}}]<|/tool_call|>',
    "deepseek_v3": f"{_ALL}{_ONE}function{_SEP}get_weather\n```json\n{_JSON}\n```{_ONE_END}\n"
    f"{_ONE}function{_SEP}get_time\n```json\n{{}}\n```{_ONE_END}{_ALL_END}",
    "deepseek_v31": f"{_ALL}{_ONE}get_weather{_SEP}{_JSON}{_ONE_END}{_ONE}get_time{_SEP}{{}}{_ONE_END}{_ALL_END}",
    "qwen3_coder": "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n3\n"
    "</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=get_time>\n</function>\n</tool_call>",
    "harmony": f"<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{_JSON}<|call|>"
    "<|start|>assistant to=functions.get_time<|channel|>commentary json<|message|>{}<|call|>",
}
"""PARIS and TIME in every format."""
