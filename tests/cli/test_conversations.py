"""``attendant generate`` and ``attendant chat``: tools, documents, variables and begun answers reach the server, and
reasoning and tool calls the reader."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from attendant.cli import main
from attendant.core.chat import ChatMessage, ChatPrompt, Tool, ToolCall, ToolCallDelta
from attendant.core.errors import Unavailable
from attendant.core.generation import Delta, Finish, GenerationPart
from attendant.core.request import FinishReason, Timings, Usage
from attendant.models.info import ModelInfo

from tests.rpc.fake import FakeService, generator_info, manifest, run, serving

TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
CALLS = (
    Delta(0, "", (1,), reasoning="It wants"),
    Delta(0, "", (2,), reasoning=" a tool."),
    Delta(0, "", (3,), tool_calls=(ToolCallDelta(0, '{"order"', "a1", "find"),)),
    Delta(0, "", (4,), tool_calls=(ToolCallDelta(0, ": 7}"), ToolCallDelta(1, "{}", "a2", "look"))),
    Finish(0, FinishReason.STOP, Usage(1, 0, 4), Timings(), num_tool_calls=2),
)
TEXT = (Delta(0, " 7.", (5,)), Finish(0, FinishReason.STOP, Usage(1, 0, 1), Timings()))
CUT = Finish(0, FinishReason.LENGTH, Usage(1, 0, 4), Timings(), num_tool_calls=1, unparsed=True)
Command = Callable[..., tuple[int, str, str]]


class Talks(FakeService):
    """Answers each call with the next of its answers."""

    def __init__(self, *answers: tuple[GenerationPart | Exception, ...], template: str | None = "x") -> None:
        super().__init__()
        self._answers = list(answers)
        self._template = template

    def list_models(self) -> tuple[ModelInfo, ...]:
        """One that chats, unless it has no template."""
        return (generator_info(manifest(chat_template=self._template)),)

    async def generate(self, call, context):  # type: ignore[no-untyped-def]
        """The next answer, or the last again."""
        self.parts = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        async for part in super().generate(call, context):
            yield part


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    tools, documents = tmp_path / "tools.json", tmp_path / "documents.json"
    tools.write_text(json.dumps([TOOL]), encoding="utf-8")
    documents.write_text('[{"title": "é"}]', encoding="utf-8")
    return tools, documents


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    def runs(service: FakeService, *words: object) -> tuple[int, str, str]:
        code: list[int] = []

        async def test() -> None:
            async with serving(service) as (address, _):
                code.append(await asyncio.to_thread(main, [*map(str, words), "--server", address]))

        run(test)
        shown = capsys.readouterr()
        return code[0], shown.out, shown.err

    return runs


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Types lines, and Ctrl-D after them."""

    def types(*lines: str) -> None:
        left = iter(lines)
        monkeypatch.setattr("builtins.input", lambda prompt="": next(left, None) or (_ for _ in ()).throw(EOFError))

    return types


def test_flags_become_fields_of_the_chat(command: Command, files: tuple[Path, Path], tmp_path: Path) -> None:
    service, template = Talks(TEXT), tmp_path / "template.jinja"
    template.write_text("{{ messages }}", encoding="utf-8")
    flags = ("--tools", files[0], "--documents", files[1], "--variables", '{"enable_thinking": false}', "--separate")
    code, out, _ = command(service, "generate", "6 + 1?", *flags, "--prefill", "It is", "--given-template", template)
    assert (code, out) == (0, "It is 7.\n")
    assert service.calls[0].separate is True
    assert service.calls[0].prompt == ChatPrompt(
        (ChatMessage("user", "6 + 1?"), ChatMessage("assistant", "It is")),
        tools=(Tool("find", TOOL),),
        documents=({"title": "é"},),
        variables={"enable_thinking": False},
        given_template="{{ messages }}",
        continues=True,
    )


def test_calls_and_reasoning_are_shown_apart(command: Command) -> None:
    code, out, errors = command(Talks(CALLS), "generate", "x")
    assert (code, errors) == (0, "It wants a tool.\n")
    assert [json.loads(line) for line in out.splitlines()] == [
        {"name": "find", "arguments": '{"order": 7}'},
        {"name": "look", "arguments": "{}"},
    ]
    told = json.loads(command(Talks(CALLS), "generate", "x", "--json")[1])
    assert told["reasoning"] == "It wants a tool."
    assert told["tool_calls"][0] == {"id": "a1", "name": "find", "arguments": '{"order": 7}'}
    assert told["num_tool_calls"] == 2
    assert "reasoning" not in json.loads(command(Talks(TEXT), "generate", "x", "--json")[1])


def test_a_call_that_was_cut_is_none(command: Command) -> None:
    begun = Delta(0, "", (4,), tool_calls=(ToolCallDelta(1, '{"a": [', "a2", "look"),))
    cut = (CALLS[2], Delta(0, "", (4,), tool_calls=(ToolCallDelta(0, ": 7}"),)), begun, Delta(0, '{"a": [', (6,)), CUT)
    _, out, _ = command(Talks(cut), "generate", "x")
    assert out == '{"a": [\n{"name": "find", "arguments": "{\\"order\\": 7}"}\n'
    told = json.loads(command(Talks(cut), "generate", "x", "--json")[1])
    assert [call["name"] for call in told["tool_calls"]] == ["find"]
    assert told["unparsed"] is True


def test_a_model_without_a_template_takes_the_one_that_is_given(
    command: Command, tmp_path: Path, typed: Callable[..., None]
) -> None:
    template = tmp_path / "template.jinja"
    template.write_text("{{ messages }}", encoding="utf-8")
    for words in (("generate", "6 + 1?"), ("chat",)):
        typed("6 + 1?")
        service = Talks(TEXT, template=None)
        code, out, _ = command(service, *words, "--given-template", template)
        assert (code, out) == (0, " 7.\n")
        assert service.calls[0].prompt == ChatPrompt((ChatMessage("user", "6 + 1?"),), given_template="{{ messages }}")
    assert command(Talks(TEXT, template=None), "chat")[0] == 1


def test_a_failure_after_tools_forgets_them_with_the_question(command: Command, typed: Callable[..., None]) -> None:
    typed("Where is order 7?", "shipped", "nothing", "Hello?")
    service = Talks(CALLS, (Unavailable("no more calls"),), TEXT)
    assert command(service, "chat")[0] == 0
    assert service.calls[-1].prompt == ChatPrompt((ChatMessage("user", "Hello?"),))


def test_a_chat_asks_what_tools_give_and_goes_on(
    command: Command, files: tuple[Path, Path], typed: Callable[..., None]
) -> None:
    typed("Where is order 7?", "shipped", "nothing")
    service = Talks(CALLS, TEXT)
    code, out, _ = command(service, "chat", "--tools", files[0])
    assert code == 0
    assert out.endswith(" 7.\n")
    asked = service.calls[1].prompt
    assert isinstance(asked, ChatPrompt)
    calls = (ToolCall("find", '{"order": 7}', "a1"), ToolCall("look", "{}", "a2"))
    assert asked.messages == (
        ChatMessage("user", "Where is order 7?"),
        ChatMessage("assistant", None, reasoning="It wants a tool.", tool_calls=calls),
        ChatMessage("tool", "shipped", "find", tool_call_id="a1"),
        ChatMessage("tool", "nothing", "look", tool_call_id="a2"),
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--variables", "{"), "{ is no JSON"),
        (("--variables", "[]"), "[] is no JSON object"),
        (("--tools", "nowhere.json"), "nowhere.json cannot be read"),
    ],
)
def test_what_is_no_json_is_said(words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["generate", "x", *words])
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_what_a_text_cannot_have_is_refused(command: Command) -> None:
    code, _, errors = command(Talks(TEXT), "generate", "x", "--raw", "--prefill", "y")
    assert code == 1
    assert "are for chats" in errors
