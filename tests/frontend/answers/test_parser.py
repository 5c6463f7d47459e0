"""Answers in every format, told apart: whole, cut anywhere, broken, cut short."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from attendant.core.answer_formats import TOOL_FORMATS, AnswerFormats
from attendant.frontend.answers.parser import AnswerParser
from attendant.frontend.answers.told import joined
from hypothesis import given
from hypothesis import strategies as st

from tests.frontend.answers.helpers import PARIS, TIME, TOOLS, TWO_CALLS, WEATHER, Found, deepseek, tell_apart

BARE = [
    ("llama3_json", ' {"name": "get_weather", "parameters": {"city": "Paris", "days": 3}}', (PARIS,)),
    ("llama3_json", '{"type": "function", "function": "get_time", "parameters": null}', (TIME,)),
    ("llama3_json", '<|python_tag|>get_weather.call(city="Paris", days=3)', (PARIS,)),
    ("llama_pythonic", '[get_weather(city="Paris", days=3), get_time()]', (PARIS, TIME)),
    ("hermes", '<tool_call>[{"name": "get_time", "arguments": "{}"}, {"name": "get_time"}]</tool_call>', (TIME, TIME)),
    ("hermes", '<tool_call>{"name": "get_time", "arguments": {}}{"name": "get_time"}', (TIME, TIME)),
    ("phi4_mini", 'functools[{"name": "get_time", "arguments": {}}]', (TIME,)),
    ("granite", '<tool_call>[{"name": "get_time", "arguments": {}}]', (TIME,)),
    ("mistral_args", '[TOOL_CALLS]get_weather{"city": "Paris", "days": 3}', (PARIS,)),
    ("qwen3_coder", "<function=get_time>\n</function>", (TIME,)),
    (
        "deepseek_v3",
        f"{deepseek('tool call begin')}function{deepseek('tool sep')}get_time\n```json\n{{}}\n```",
        (TIME,),
    ),
]
"""Other ways in which models of a format write calls."""

BROKEN = [
    ("hermes", '<tool_call>\n{"name": "get_wether", "arguments": {"city": "Paris"}}\n</tool_call>'),
    ("hermes", '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris", }}\n</tool_call>'),
    ("hermes", '<tool_call>{"name": "get_weather", "arguments": {"days": 03}}</tool_call>'),
    ("hermes", '<tool_call>{"name": "get_weather", "arguments": {"days": NaN}}</tool_call>'),
    ("hermes", '<tool_call>{"name": "get_weather", "arguments": ["Paris"]}</tool_call>'),
    ("hermes", '<tool_call>{"name": "get_weather", "arguments": "Paris"}</tool_call>'),
    ("hermes", '<tool_call>{"name": 5, "arguments": {}}</tool_call>'),
    ("hermes", "<tool_call>" + '{"name": "get_weather", "arguments": {"a": ' + "[" * 5000),
    ("hermes", "<tool_call>get_weather"),
    ("hermes", r'<tool_call>{"name": "get_weather", "arguments": "{\"city\": \"\ud800\"}"}</tool_call>'),
    ("llama3_json", '{"name": "get_weather", "parameters": "x"}'),
    ("llama3_json", '{"name": "get_wether", "parameters": {}}'),
    ("llama3_json", '<|python_tag|>print("hello")'),
    ("llama_pythonic", "[get_weather(city=open('x'))]"),
    ("llama_pythonic", '[get_weather("Paris")]'),
    ("llama_pythonic", "[get_weather(days=1e999)]"),
    ("llama_pythonic", "[get_weather(city='a', city='b')]"),
    ("llama_pythonic", "[get_weather(spots=" + "[" * 5000),
    ("mistral", '[TOOL_CALLS][{"name": "get_wether", "arguments": {}}]'),
    ("mistral_args", "[TOOL_CALLS]get_weather[ARGS]Paris"),
    ("mistral_args", "[TOOL_CALLS]get_weather"),
    ("granite", '<|tool_call|>[{"arguments": {}}]'),
    ("phi4_mini", "functools[get_weather]"),
    ("deepseek_v31", f"{deepseek('tool calls begin')}{deepseek('tool call begin')}get_weather"),
    ("qwen3_coder", "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis"),
    ("qwen3_coder", "<tool_call>\n<function=get_weather>\n<parameter=city>a</parameter><parameter=city>b</parameter>"),
    ("harmony", '<|channel|>commentary to=functions.get_wether<|message|>{"city": "Paris"}<|call|>'),
    ("harmony", '<|channel|>commentary to=functions.get_weather<|message|>{"city": "Par'),
]


def pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def examples() -> Iterator[tuple[str, str]]:
    yield from TWO_CALLS.items()
    yield from ((name, text) for name, text, _ in BARE)
    yield from ((name, text) for name, text in BROKEN if len(text) < 1000)


def test_every_format_has_an_example() -> None:
    assert set(TWO_CALLS) == set(TOOL_FORMATS) - {"none"}


@pytest.mark.parametrize("name", TWO_CALLS)
def test_calls_side_by_side(name: str) -> None:
    assert tell_apart([TWO_CALLS[name]], name) == tell_apart(TWO_CALLS[name], name)
    found = tell_apart([TWO_CALLS[name]], name)
    assert (found.calls, found.text, found.reasoning, found.unparsed) == ((PARIS, TIME), "", "", False)


@pytest.mark.parametrize("name", [name for name in TWO_CALLS if name != "harmony"])
def test_text_around_calls_and_thoughts_before_them(name: str) -> None:
    said = f"<think>\nParis, then.\n\n</think>\n\nI look it up.\n\n{TWO_CALLS[name]}\n"
    found = tell_apart(said, name, "think")
    assert found.calls == (PARIS, TIME)
    assert (found.text, found.reasoning, found.unparsed) == ("I look it up.", "Paris, then.", False)


def test_text_after_calls() -> None:
    found = tell_apart(f"{TWO_CALLS['hermes']}\nDone, [x] {{y}}\n", "hermes")
    assert (found.text, found.calls) == ("Done, [x] {y}\n", (PARIS, TIME))
    found = tell_apart('{"name": "get_time", "parameters": {}}, or so', "llama3_json")
    assert (found.text, found.calls) == (", or so", (TIME,))


def test_what_stands_between_messages_and_is_none_is_text() -> None:
    said = "Well.<|end|><|start|>assistant<|channel|>final<|message|>Hi.<|return|>"
    for size in (1, len(said)):
        found = tell_apart(pieces(said, size), "harmony", "harmony")
        assert (found.text, found.reasoning, found.calls) == ("Well.<|end|>Hi.", "", ())


def test_channels() -> None:
    said = (
        "<|channel|>analysis<|message|>Where?<|end|><|start|>assistant<|channel|>analysis<|message|>Paris.<|end|>"
        "<|start|>assistant<|channel|>commentary<|message|>I look it up.<|end|><|start|>assistant"
        '<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"city":"Paris","days":3}<|call|>'
    )
    found = tell_apart(said, "harmony", "harmony")
    assert (found.text, found.reasoning) == ("I look it up.", "Where?\nParis.")
    assert (found.calls, found.unparsed) == ((PARIS,), False)
    found = tell_apart("<|channel|>final<|message|>It is warm.<|return|>", "harmony", "harmony", schemas={})
    assert found == Found("It is warm.", "", (), (), False)
    assert tell_apart("Plain.", "harmony").text == "Plain."


@pytest.mark.parametrize(("name", "said", "calls"), BARE)
def test_other_ways_to_write_a_call(name: str, said: str, calls: tuple) -> None:
    found = tell_apart(said, name)
    assert (found.calls, found.text, found.unparsed) == (calls, "", False)


@pytest.mark.parametrize(("name", "said"), BROKEN, ids=[f"{name}-{said[:40]}" for name, said in BROKEN])
def test_what_is_no_call_comes_as_text_whatever_was_told_of_it(name: str, said: str) -> None:
    found = tell_apart(said, name)
    assert (found.text, found.calls, found.unparsed) == (said, (), True)
    assert tell_apart(f"{said}", "none").text == said


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("llama3_json", '{"name": "Bob", "age": 3}'),
        ("llama3_json", '{"answer": 42}'),
        ("llama3_json", "{not JSON"),
        ("llama_pythonic", "[1, 2, 3]"),
        ("llama_pythonic", "[sin(x)]"),
        ("hermes", "a < b, <tool, </tool_call>"),
        ("mistral", "[INST] [TOOL"),
        ("phi4_mini", "if functools, then"),
    ],
)
def test_what_does_not_look_like_a_call_is_text(name: str, said: str) -> None:
    assert tell_apart(said, name) == Found(said, "", (), (), False)


def test_calls_around_one_that_is_broken() -> None:
    good, bad = '<tool_call>{"name": "get_time"}</tool_call>', '<tool_call>{"name": "get_weather", "arguments": {]'
    found = tell_apart(f"{good}{bad}{good}", "hermes")
    assert (found.calls, found.text, found.unparsed) == ((TIME, TIME), bad, True)
    assert [name for name, _ in found.told] == ["get_time", "get_weather", "get_time"]
    two = '[TOOL_CALLS][{"name": "get_time", "arguments": {}}, {"name": "get_wether", "arguments": {}}]'
    found = tell_apart(two, "mistral")
    assert (found.calls, found.unparsed) == ((TIME,), True)
    assert "get_wether" in found.text


def test_text_of_a_call_that_was_broken_before_the_answer_was_cut_is_not_lost() -> None:
    bad = "] and more"
    harmony = f'<|channel|>commentary to=functions.get_weather <|message|>{{"city": {bad}'
    hermes = f'<tool_call>{{"name": "get_weather", "arguments": {{"city": {bad}'
    for name, mark, said in (("harmony", "", harmony), ("hermes", "<tool_call>", hermes)):
        parser = AnswerParser(AnswerFormats(name, "none"), TOOLS)
        pieces = [*map(parser.push, said), parser.finish(cut=True)]
        text = "".join(piece.text for piece in pieces)
        assert text.endswith(bad)
        assert mark in text
        assert (parser.unparsed, parser.num_tool_calls, parser.broken) == (True, 0, {0})


@pytest.mark.parametrize("name", TWO_CALLS)
def test_a_call_that_was_cut_is_told_once(name: str) -> None:
    """Wherever the answer is cut, its text and its calls have nothing of each other."""
    said = TWO_CALLS[name]
    for at in range(len(said)):
        parser = AnswerParser(AnswerFormats(name, "none"), TOOLS)
        pieces = [parser.push(said[:at]), parser.finish(cut=True)]
        calls = joined([delta for piece in pieces for delta in piece.tool_calls])
        text = "".join(piece.text for piece in pieces)
        assert len(calls) in (parser.num_tool_calls, parser.num_tool_calls + 1)
        assert parser.broken == set()
        if len(calls) > parser.num_tool_calls:  # one has begun
            assert parser.unparsed
            assert text == ""


@pytest.mark.parametrize(("name", "said"), list(examples()))
def test_every_cut_gives_the_same(name: str, said: str) -> None:
    whole = tell_apart([said], name, "none" if name == "harmony" else "think")
    for at in range(len(said)):
        found = tell_apart([said[:at], said[at:]], name, "none" if name == "harmony" else "think")
        assert found == whole


_CHUNKS = st.sampled_from(
    [
        *TWO_CALLS.values(),
        *("<think>", "</think>", "\n", " ", "a", "<", "[", "{", '"', "\\", "é", "}", ")", "]", "None", "\0", "\x1f"),
        *('{"name": "get_weather", "arguments": {', '"city": "', "get_weather(", "city=", "<|message|>", "<|end|>"),
        *("<tool_call>", "[TOOL_CALLS]", "<|python_tag|>", "functools", "<function=get_weather>", "<parameter=city>"),
    ]
)


@given(st.sampled_from(TOOL_FORMATS), st.lists(_CHUNKS, max_size=8), st.lists(st.integers(1, 40)), st.booleans())
def test_anything_cut_anyhow_gives_the_same(name: str, chunks: list[str], cuts: list[int], thinking: bool) -> None:
    said, rest, parts = "".join(chunks), "".join(chunks), []
    for size in cuts:
        parts.append(rest[:size])
        rest = rest[size:]
    whole = tell_apart([said], name, "none" if name == "harmony" else "think", thinking=thinking)
    assert tell_apart([*parts, rest], name, "none" if name == "harmony" else "think", thinking=thinking) == whole
    if name == "none" and not thinking and "<think>" not in said:
        assert whole.text == said


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def _written(name: str, arguments: dict) -> str:
    call = json.dumps({"name": "get_time", "parameters" if name == "llama3_json" else "arguments": arguments})
    return {
        "hermes": f"<tool_call>{call}</tool_call>",
        "llama3_json": call,
        "mistral_args": f"[TOOL_CALLS]get_time[ARGS]{json.dumps(arguments, ensure_ascii=False)}",
        "llama_pythonic": f"[get_time({', '.join(f'{key}={value!r}' for key, value in arguments.items())})]",
    }[name]


@given(
    st.sampled_from(["hermes", "llama3_json", "mistral_args", "llama_pythonic"]),
    st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), _VALUES, max_size=4),
    st.integers(1, 9),
)
def test_arguments_of_any_kind_come_through_in_pieces(name: str, arguments: dict, size: int) -> None:
    said = _written(name, arguments)
    parser = AnswerParser(AnswerFormats(name), {"get_time": {"type": "object"}})
    deltas = [delta for piece in [*map(parser.push, pieces(said, size)), parser.finish()] for delta in piece.tool_calls]
    told = "".join(delta.arguments for delta in deltas)
    assert json.loads(told) == arguments
    if name in ("hermes", "llama3_json", "mistral_args"):
        assert told in said  # as the model wrote it
    for at in range(0, len(deltas), 7):
        assert told.startswith("".join(delta.arguments for delta in deltas[:at]))


@given(st.dictionaries(st.sampled_from(["city", "note"]), st.text("ab<>/\n\"'\\é ", max_size=12)))
def test_text_between_tags_comes_through(arguments: dict[str, str]) -> None:
    arguments = {key: value for key, value in arguments.items() if "</parameter>" not in value}
    written = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in arguments.items())
    found = tell_apart(f"<tool_call>\n<function=get_weather>\n{written}</function>\n</tool_call>", "qwen3_coder")
    assert found.calls == (("get_weather", arguments),)


def test_values_between_tags_have_the_types_of_the_schema() -> None:
    values = {"city": "12", "days": "12", "metric": "True", "note": "null", "spots": '["a"]', "extra": "{x"}
    written = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in values.items())
    found = tell_apart(f"<function=get_weather>\n{written}</function>", "qwen3_coder")
    expected = {"city": "12", "days": 12, "metric": True, "note": None, "spots": ["a"], "extra": "{x"}
    assert found.calls == (("get_weather", expected),)
    assert set(WEATHER["properties"]) < {*values, "extra"}


def test_python_becomes_json() -> None:
    values = r"""city='it\'s "Köln"\n\d', days=-3, metric=True, note=None, spots=('a', ["b"]), more={'x': false}"""
    said = f"[get_weather({values})]"
    found = tell_apart(said, "llama_pythonic")
    expected = {"city": 'it\'s "Köln"\n\\d', "days": -3, "metric": True, "note": None, "spots": ["a", ["b"]]}
    assert found.calls == (("get_weather", {**expected, "more": {"x": False}}),)


def test_line_breaks_within_strings_become_escapes() -> None:
    found = tell_apart('<tool_call>{"name": "get_weather", "arguments": {"city": "a\n\tb"}}', "hermes")
    assert found.told == (("get_weather", '{"city": "a\\n\\tb"}'),)


@pytest.mark.parametrize(
    ("reasoning", "said", "thinking", "thought", "text"),
    [
        ("think", "<think>\nHm.\n\nSo.\n</think>\n\nYes.", False, "Hm.\n\nSo.", "Yes."),
        ("think", "\nHm.\n</think>\n\nYes.", True, "Hm.", "Yes."),
        ("think", "<think>\nHm.</think>Yes.", True, "Hm.", "Yes."),
        ("think", "Hm, cut", True, "Hm, cut", ""),
        ("think", "Yes. <think>no</think>", False, "", "Yes. <think>no</think>"),
        ("think", " \nYes.\n", False, "", " \nYes.\n"),
        ("think", "<think>\n\n</think>\n\nYes.", False, "", "Yes."),
        ("think", "<think>a <b> </think", False, "a <b> </think", ""),
        ("mistral", "[THINK]Hm.[/THINK]Yes.", False, "Hm.", "Yes."),
        ("granite", "Here is my thought process: Hm. Here is my response: Yes.", False, " Hm. ", " Yes."),
        ("none", "<think>Hm.</think>Yes.", False, "", "<think>Hm.</think>Yes."),
    ],
)
def test_thoughts(reasoning: str, said: str, thinking: bool, thought: str, text: str) -> None:
    found = tell_apart(said, "none", reasoning, thinking=thinking)
    assert (found.reasoning, found.text) == (thought, text)


def test_ids_are_as_templates_demand_them() -> None:
    for name, pattern in (("mistral", r"[A-Za-z0-9]{9}"), ("hermes", r"call_[A-Za-z0-9]{24}")):
        parser = AnswerParser(AnswerFormats(name), None)
        ids = [delta.id for delta in parser.push(TWO_CALLS[name]).tool_calls]
        assert len(set(ids)) == 2
        for id_ in ids:
            assert re.fullmatch(pattern, id_)


def test_without_known_tools_any_may_be_called() -> None:
    said = '<tool_call>{"name": "anything.at/all", "arguments": {}}</tool_call>'
    assert tell_apart(said, "hermes", schemas=None).calls == (("anything.at/all", {}),)


def test_a_name_that_nobody_can_be_sent_is_none() -> None:
    found = tell_apart([r'<tool_call>{"name": "get_\ud800", "arguments": {}}</tool_call>'], "hermes", schemas=None)
    assert (found.told, found.unparsed) == ((), True)
    assert found.text.startswith("<tool_call>")
