"""Answers told apart on their way: by a service, with everything else that a call may ask for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from attendant.core.answer_formats import AnswerFormats
from attendant.core.chat import ChatMessage, ChatPrompt, Tool, ToolCallDelta, ToolChoice
from attendant.core.context import CallContext
from attendant.core.errors import InvalidRequest
from attendant.core.events import FinishedEvent, TokenEvent
from attendant.core.generation import BeamCall, Delta, Finish, GenerationCall, Resume, TextPrompt, TokenPrompt
from attendant.core.request import FinishReason, Request, Timings, Usage
from attendant.core.sampling import SamplingParams
from attendant.frontend.answers.parser import marks_of
from attendant.frontend.answers.told import joined
from attendant.frontend.generation.apart import AUTO, Apart, formats_for, told_apart, with_usable_tools
from attendant.frontend.generation.call_stream import CallStream
from attendant.frontend.generation.detokenizer import Detokenizer
from attendant.frontend.generation.inner import InnerCall
from attendant.frontend.generation.service import GenerationService
from attendant.frontend.generation.stop_strings import StopStrings
from attendant.frontend.generation.streams import SequenceStream
from attendant.models.generators import GeneratorPart
from attendant.models.text import TextCodec

from tests.frontend.answers.helpers import TIME, TOOLS, TWO_CALLS
from tests.frontend.generation.helpers import load, table, with_model, with_service
from tests.synthetic import TOOLS_TEMPLATE, byte_tokenizer, make_synthetic_bundle

CODEC = TextCodec(byte_tokenizer(), None)
WANTED = tuple(
    Tool(name, {"type": "function", "function": {"name": name, "parameters": schema}}) for name, schema in TOOLS.items()
)
CHAT = ChatPrompt((ChatMessage("user", "How is the weather?"),), tools=WANTED)
HERMES = TWO_CALLS["hermes"]
BANG = TextPrompt("!", add_special_tokens=False)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_synthetic_bundle(
        tmp_path_factory.mktemp("b") / "m", eos_bias=-1e4, context_length=1024, chat_template=TOOLS_TEMPLATE
    )


@dataclass
class Heard:
    text: str = ""
    reasoning: str = ""
    deltas: list[ToolCallDelta] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    logprobs: list[int] = field(default_factory=list)
    parts: list[Delta] = field(default_factory=list)
    finish: Finish | None = None

    @property
    def calls(self) -> list[tuple[str, Any]]:
        return [(call.name, json.loads(call.arguments)) for call in joined(self.deltas)]


async def answered(
    service: GenerationService, said: str, *, prompt: Any = CHAT, fewer: int = 0, **fields: Any
) -> list[Heard]:
    """What comes of a call whose every sequence says ``said``, but for the last ``fewer`` tokens."""
    ids = CODEC.tokenize(TextPrompt(said, add_special_tokens=False)).token_ids
    call = GenerationCall("", prompt, max_tokens=len(ids) - fewer, **{"tool_format": "hermes", **fields})
    inner = InnerCall(call, opening=tuple((token,) for token in ids))
    (entry,) = table(service).entries
    found = [Heard() for _ in range(call.n)]
    async for part in service.on(entry.serving).generate_inner(inner, CallContext.new()):
        sequence = found[part.index]
        if isinstance(part, Finish):
            sequence.finish = part
            continue
        sequence.text += part.text
        sequence.reasoning += part.reasoning
        sequence.deltas += part.tool_calls
        sequence.tokens += part.token_ids
        sequence.logprobs += [entry.token_id for entry in part.logprobs]
        sequence.parts.append(part)
    return found


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("n", [1, 3])
def test_calls_of_every_sequence_come_with_all_tokens(bundle: Path, n: int, whole: bool) -> None:
    async def test(service: GenerationService) -> None:
        said = f"<think>\nHm.\n</think>\n\nI look.\n{HERMES}"
        found = await answered(service, said, n=n, whole=whole, logprobs=1, reasoning_format="think", receipt=True)
        plain = await answered(service, said, n=n, whole=whole, logprobs=1, separate=False, receipt=True)
        for sequence, text in zip(found, plain, strict=True):
            assert (sequence.text, sequence.reasoning, text.text) == ("I look.", "Hm.", said)
            assert sequence.calls == [("get_weather", {"city": "Paris", "days": 3}), TIME]
            assert sequence.tokens == sequence.logprobs == text.tokens == text.logprobs
            assert (sequence.finish.num_tool_calls, sequence.finish.unparsed) == (2, False)
            assert sequence.finish.num_reasoning_tokens == len("Hm.\n</think>\n\n")  # a token is a byte
            assert text.finish.num_reasoning_tokens == 0
            assert sequence.finish.receipt.output == text.finish.receipt.output
            assert (text.deltas, text.finish.num_tool_calls) == ([], 0)
            assert whole == (len(sequence.parts) == 1)
        ids = [delta.id for sequence in found for delta in sequence.deltas if delta.id]
        assert len(set(ids)) == 2 * n

    assert with_service(bundle, test) == []


def test_an_answer_that_goes_on_is_told_apart_as_before(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        said = f"<think>\nHm.\n</think>\n\nI look.\n{HERMES}"
        (whole,) = await answered(service, said, reasoning_format="think")
        for place in range(0, len(whole.parts), 5):
            received = tuple(token for part in whole.parts[:place] for token in part.token_ids)
            (rest,) = await answered(service, said, reasoning_format="think", resume=Resume(received))
            assert seen(rest.parts) == seen(whole.parts[place:])
            assert (rest.finish.num_tool_calls, rest.finish.unparsed) == (2, False)
            assert rest.finish.num_reasoning_tokens == whole.finish.num_reasoning_tokens

    assert with_service(bundle, test) == []


def seen(parts: Sequence[Delta]) -> tuple[Any, ...]:
    """What comes of some parts, but for the ids of calls."""
    calls: dict[int, tuple[str, str]] = {}
    for part in parts:
        for delta in part.tool_calls:
            name, arguments = calls.get(delta.index, ("", ""))
            calls[delta.index] = (name + delta.name, arguments + delta.arguments)
    words = ("".join([part.text for part in parts]), "".join([part.reasoning for part in parts]))
    return words, calls, [token for part in parts for token in part.token_ids]


def test_beams_are_told_apart(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        found = await answered(service, HERMES, beam_search=BeamCall(2), n=1)
        assert found[0].calls == [("get_weather", {"city": "Paris", "days": 3}), TIME]

    assert with_service(bundle, test) == []


@pytest.mark.parametrize("whole", [False, True])
def test_a_call_that_is_cut_is_the_beginning_of_one_whole_and_streamed(bundle: Path, whole: bool) -> None:
    async def test(service: GenerationService) -> None:
        good = HERMES.splitlines(keepends=True)
        said = "".join([*good[3:], "\n", *good[:3]])
        (found,) = await answered(service, said, fewer=20, whole=whole)
        assert found.finish.reason is FinishReason.LENGTH
        assert (found.finish.num_tool_calls, found.finish.unparsed) == (1, True)
        assert found.text == ""
        time, weather = joined(found.deltas)
        assert [(time.name, json.loads(time.arguments))] == [TIME]
        assert (weather.name, weather.index) == ("get_weather", 1)
        assert weather.arguments == said[said.rindex('{"city"') : -20]

    assert with_service(bundle, test) == []


@pytest.mark.parametrize("whole", [False, True])
def test_a_call_that_the_model_ends_too_soon_is_text(bundle: Path, whole: bool) -> None:
    async def test(service: GenerationService) -> None:
        said = f"{HERMES[:-20]}\n"
        (found,) = await answered(service, f"{said}!", stop_token_ids=CODEC.tokenize(BANG).token_ids, whole=whole)
        assert found.finish.reason is FinishReason.STOP
        assert found.finish.unparsed
        assert found.text.rstrip("!") == said[said.rindex("<tool_call>") :]

    assert with_service(bundle, test) == []


@pytest.mark.parametrize("whole", [False, True])
def test_a_stop_string_may_be_in_a_call_or_its_marks(bundle: Path, whole: bool) -> None:
    async def test(service: GenerationService) -> None:
        (found,) = await answered(service, f"Yes. {HERMES}", stop=("Paris",), whole=whole)
        assert found.text == "Yes."
        assert [(each.name, each.arguments) for each in joined(found.deltas)] == [("get_weather", '{"city": "')]
        assert (found.finish.stop_string, found.finish.unparsed) == ("Paris", True)
        (found,) = await answered(service, f"Yes. {HERMES}", stop=("\n</tool_call>\n",), whole=whole)
        assert (found.text, found.calls) == ("Yes.", [("get_weather", {"city": "Paris", "days": 3})])
        assert (found.finish.num_tool_calls, found.finish.unparsed) == (1, False)

    assert with_service(bundle, test) == []


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("choice", [ToolChoice(parallel=False), ToolChoice("auto", ("get_weather",), parallel=False)])
def test_a_single_call_ends_the_answer(bundle: Path, choice: ToolChoice, whole: bool) -> None:
    async def test(service: GenerationService) -> None:
        (found,) = await answered(service, f"{HERMES} and more", tool_choice=choice, whole=whole)
        assert found.calls == [("get_weather", {"city": "Paris", "days": 3})]
        assert (found.finish.reason, found.finish.num_tool_calls, found.text) == (FinishReason.STOP, 1, "")
        assert found.finish.usage.completion_tokens == len(found.tokens) < len(HERMES)

    assert with_service(bundle, test) == []


def test_a_tool_that_may_not_be_called_is_text(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        (found,) = await answered(service, HERMES, tool_choice=ToolChoice("auto", ("get_time",)))
        assert (found.calls, found.finish.unparsed) == ([TIME], True)
        assert "get_weather" in found.text

    assert with_service(bundle, test) == []


def test_what_nobody_asked_to_tell_apart_is_text_as_ever(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        said = f"<think>x</think>{HERMES}"
        plain: list[tuple[Any, dict[str, Any]]] = [
            (TextPrompt("hello"), {"tool_format": ""}),
            (ChatPrompt(CHAT.messages), {"reasoning_format": "think"}),
            (CHAT, {"separate": False}),
            (CHAT, {"tool_choice": ToolChoice("none")}),
            (CHAT, {"tool_format": "none", "reasoning_format": "none"}),
            (CHAT, {"tool_format": ""}),  # the model's template speaks none
        ]
        for prompt, fields in plain:
            (found,) = await answered(service, said, prompt=prompt, **fields)
            assert (found.text, found.reasoning, found.deltas) == (said, "", [])
        (found,) = await answered(service, said, prompt=TextPrompt("hello"), separate=True, reasoning_format="think")
        assert (found.text, found.reasoning, len(found.calls)) == ("", "x", 2)
        (found,) = await answered(
            service, said, prompt=ChatPrompt(CHAT.messages), separate=True, tool_format="", reasoning_format="think"
        )
        assert (found.text, found.reasoning) == (HERMES, "x")

    assert with_service(bundle, test) == []


def test_a_given_answer_is_told_apart(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        ids = CODEC.tokenize(TextPrompt(HERMES, add_special_tokens=False)).token_ids
        call = GenerationCall("", CHAT, forced_answer=ids, tool_format="hermes", separate=True, whole=True)
        delta, finish = [part async for part in service.generate(call)]
        assert isinstance(delta, Delta)
        assert isinstance(finish, Finish)
        assert [each.name for each in delta.tool_calls] == ["get_weather", "get_time"]
        assert (delta.text, finish.num_tool_calls) == ("", 2)

    assert with_service(bundle, test) == []


@pytest.mark.parametrize("choice", [None, AUTO, ToolChoice("required"), ToolChoice("none")])
def test_tools_that_may_not_be_called_are_not_shown(choice: ToolChoice | None) -> None:
    shown = with_usable_tools(GenerationCall("", CHAT, tool_choice=choice)).prompt
    assert shown == (replace(CHAT, tools=()) if choice == ToolChoice("none") else CHAT)


def tool(**function: Any) -> Tool:
    return Tool(function.get("name", ""), {"type": "function", "function": function})


@pytest.mark.parametrize(
    ("fields", "field", "allowed"),
    [
        ({"tools": (tool(name="get weather"),)}, "tools[0].name", "letters, digits"),
        ({"tools": (tool(name=""),)}, "tools[0].name", "1 to 128"),
        ({"tools": (tool(name="ä"),)}, "tools[0].name", "letters"),
        ({"tools": (tool(name="a" * 129),)}, "tools[0].name", "128"),
        ({"tools": (tool(name="a"), tool(name="a"))}, "tools[1].name", "each once"),
        ({"tools": (tool(name="a", parameters=[]),)}, "tools[0].parameters", "JSON schema"),
        ({"tools": (tool(name="a", parameters={"type": "string"}),)}, "tools[0].parameters", "object"),
        ({"tools": (tool(name="a", parameters={"properties": []}),)}, "tools[0].parameters.properties", "an object"),
        ({"tools": (tool(name="a", parameters={"required": "b"}),)}, "tools[0].parameters.required", "list of names"),
        ({"tools": (tool(name="a" * 100_000),)}, "tools[0].name", "1024"),
        ({"tools": (tool(name="a", parameters=["b"] * 100_000),)}, "tools[0].parameters", "JSON schema"),
        ({"tool_choice": ToolChoice("named", ("b" * 100_000,))}, "tool_choice.names", "get_weather, get_time"),
        ({"tool_choice": ToolChoice("named", ("get_wether",))}, "tool_choice.names", "get_weather, get_time"),
        ({"tool_choice": ToolChoice("auto", ("get_wether",))}, "tool_choice.names", "get_weather, get_time"),
        ({"tool_choice": ToolChoice("named")}, "tool_choice.names", "one"),
        ({"tool_choice": ToolChoice("required"), "tools": ()}, "tool_choice", "send some"),
        ({"tool_choice": ToolChoice("required"), "prompt": TokenPrompt((5,))}, "tool_choice", "send some"),
        ({"tool_format": "hermès"}, "tool_format", "hermes, llama3_json"),
        ({"reasoning_format": "hermes"}, "reasoning_format", "think, mistral"),
    ],
)
def test_what_cannot_be_is_refused_by_name(bundle: Path, fields: dict[str, Any], field: str, allowed: str) -> None:
    async def test(service: GenerationService) -> None:
        prompt = fields.pop("prompt", None) or replace(CHAT, tools=fields.pop("tools", WANTED))
        call = GenerationCall("", prompt, max_tokens=2, **{"separate": True, **fields})
        with pytest.raises(InvalidRequest, match=allowed) as caught:
            async for _ in service.generate(call):
                pass
        assert caught.value.field == field
        assert len(caught.value.reason) < 300  # however much was sent

    assert with_service(bundle, test) == []


def test_the_prompt_says_whether_thoughts_have_begun(bundle: Path) -> None:
    model = load(bundle)

    def thinking(prompt: Any, text: str = "") -> bool:
        call = GenerationCall("", prompt, separate=True, reasoning_format="think")
        ids = CODEC.tokenize(TextPrompt(text, add_special_tokens=False)).token_ids
        apart = told_apart(call, formats_for(call, model), model, ids)
        assert apart is not None
        return apart.thinking

    assert thinking(CHAT, "<|assistant|><think>\n")
    assert not thinking(CHAT, "<|assistant|><think>\n\n</think>\n\n")
    assert not thinking(CHAT, "write <think> please<|assistant|>")
    begun = (*CHAT.messages, ChatMessage("assistant", "<think>\nIt may be that"))
    assert thinking(replace(CHAT, messages=begun, continues=True), "It may be that")
    assert not thinking(replace(CHAT, messages=begun), "It may be that<|end|><|assistant|>")
    done = (*CHAT.messages, ChatMessage("assistant", "<think>\nIt may.\n</think>\nYes"))
    assert not thinking(replace(CHAT, messages=done, continues=True), "Yes")
    thought = (*CHAT.messages, ChatMessage("assistant", "", reasoning="It may be that"))
    assert thinking(replace(CHAT, messages=thought, continues=True), "It may be that")
    thought = (*CHAT.messages, ChatMessage("assistant", "Yes", reasoning="It may be that"))
    assert not thinking(replace(CHAT, messages=thought, continues=True), "Yes")
    assert thinking(TextPrompt("x"), "<think>")


def test_a_given_template_says_how_answers_are_written(bundle: Path) -> None:
    model = load(bundle)
    given = replace(CHAT, given_template="{{ '[TOOL_CALLS]' }}[THINK]")
    assert formats_for(GenerationCall("", given), model) == AnswerFormats("mistral", "mistral")
    plain = GenerationCall("", given, tool_format="none", reasoning_format="none")
    assert told_apart(plain, formats_for(plain, model), model, (1,)) is None
    settled = replace(model, formats=AnswerFormats("hermes", "think"))
    assert formats_for(GenerationCall("", CHAT), settled) == AnswerFormats("hermes", "think")


SPECIAL = {"[TOOL_CALLS]", "[ARGS]", "[THINK]", "[/THINK]", "<other>"}


def stream(said: Sequence[str | int], *, stop: tuple[str, ...] = (), keeps: bool = False, whole: bool = False) -> Any:
    """Parts of an answer of a model whose marks are special tokens, given as texts and special tokens."""
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens(sorted(SPECIAL))
    codec = TextCodec(tokenizer, None)
    formats = AnswerFormats("mistral_args", "mistral")
    marks = {token: text for token, text in codec.special_tokens.items() if text in marks_of(formats)}
    apart = Apart(formats, TOOLS, False, marks, False)
    request = Request("r", (1,), SamplingParams(max_tokens=500), 0)
    call = CallStream()
    sequence = SequenceStream(
        call,
        0,
        request,
        Detokenizer(codec, (1,), keep_special_tokens=keeps),
        StopStrings(stop),
        lambda: None,
        hidden={} if keeps else codec.special_tokens,
        whole=whole,
        apart=apart,
    )
    for part in said:
        ids = [part] if isinstance(part, int) else tokenizer.encode(part, add_special_tokens=False).ids
        for token in ids:
            sequence.on_token(TokenEvent("r", token, None), 1)
    sequence.on_end(FinishedEvent("r", FinishReason.STOP, Usage(1, 0, 1), Timings()))
    return list(call.waiting)


@pytest.mark.parametrize("keeps", [False, True])
@pytest.mark.parametrize("whole", [False, True])
def test_marks_that_are_special_tokens_are_seen_and_no_others(whole: bool, keeps: bool) -> None:
    said = ["[THINK]Hm.<other>[/THINK]Là.<other> [TOOL_CALLS]get_weather[ARGS]", '{"city": "Köln<other>"}']
    *_, delta, finish = stream(said, keeps=keeps, whole=whole)
    other = "<other>" if keeps else ""
    assert (delta.text, delta.reasoning) == (f"Là.{other}", f"Hm.{other}")
    (call,) = delta.tool_calls
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": f"Köln{other}"})
    assert (finish.num_tool_calls, finish.unparsed) == (1, False)


def test_bytes_before_a_mark_do_not_come_after_it() -> None:
    half = CODEC.tokenize(TextPrompt("é", add_special_tokens=False)).token_ids[0]
    *_, delta, _finish = stream(["a", half, "[TOOL_CALLS]get_time[ARGS]{}"])
    assert (delta.text, len(delta.tool_calls)) == ("a\N{REPLACEMENT CHARACTER}", 1)


def test_a_mark_can_be_a_stop_string() -> None:
    *_, delta, finish = stream(["Yes.[TOOL_CALLS]get_time[ARGS]{}"], stop=("[TOOL_CALLS]",))
    assert (delta.text, delta.tool_calls, finish.stop_string) == ("Yes.", (), "[TOOL_CALLS]")


def test_a_model_is_loaded_with_what_is_set(bundle: Path) -> None:
    def formats(**settings: Any) -> AnswerFormats:
        model: GeneratorPart = load(bundle, **settings)
        return model.formats

    assert formats() == AnswerFormats()
    assert formats(tool_format="hermes", reasoning_format="other: granite, think") == AnswerFormats("hermes", "think")
    assert formats(tool_format="hermes, synthetic: granite") == AnswerFormats("granite")
    for text, message in ("x", "allowed: hermes"), ("a:none, a:none", "twice"):
        with pytest.raises(ValueError, match=message):
            formats(tool_format=text)


def test_the_model_tells_its_formats(bundle: Path) -> None:
    formats = AnswerFormats("none", "granite")

    async def test(service: GenerationService) -> None:
        (hub,) = [entry.serving.generation for entry in table(service).entries]
        assert hub.info().formats == formats

    assert with_model(replace(load(bundle), formats=formats), test) == []
