"""Tool calls and reasoning over gRPC, from a real server process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import models_pb2

from tests.frontend.answers.helpers import PARIS, TIME, TOOLS, TWO_CALLS
from tests.synthetic import HERMES_TEMPLATE, byte_tokenizer, make_synthetic_bundle
from tests.system.server import ServerProcess, serving

CHAT = pb.Chat(
    messages=[pb.ChatMessage(role="user", content="How is the weather?")],
    tools=[pb.Tool(name=name, parameters=json.dumps(schema)) for name, schema in TOOLS.items()],
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Of a model whose template shows tools as Hermes' do."""
    folder = tmp_path_factory.mktemp("tools")
    bundle = make_synthetic_bundle(folder / "m", name="calls", context_length=1024, chat_template=HERMES_TEMPLATE)
    with serving(folder / "server.log", bundle, "--engine.reasoning-format", "think") as running:
        yield running


def said(text: str, **fields: Any) -> pb.GenerateRequest:
    """A call whose answer is given."""
    ids = byte_tokenizer().encode(text, add_special_tokens=False).ids
    return pb.GenerateRequest(chat=CHAT, forced_answer=pb.TokenIds(ids=ids), **fields)


@pytest.mark.parametrize("whole", [False, True])
def test_calls_and_thoughts_stream_in_fields_of_their_own(server: ServerProcess, whole: bool) -> None:
    text = f"<think>Hm.</think>I look.\n{TWO_CALLS['hermes']}"
    *deltas, end = server.generation.Generate(said(text, whole=whole), timeout=300)
    assert "".join(delta.text for delta in deltas) == "I look."
    assert "".join(delta.reasoning for delta in deltas) == "Hm."
    pieces = [call for delta in deltas for call in delta.tool_calls]
    names = {piece.index: piece.name for piece in pieces if piece.name}
    arguments = ["".join(piece.arguments for piece in pieces if piece.index == index) for index in names]
    assert [(name, json.loads(text)) for name, text in zip(names.values(), arguments, strict=True)] == [PARIS, TIME]
    assert len({piece.id for piece in pieces if piece.id}) == 2
    assert (end.finish.num_tool_calls, end.finish.unparsed) == (2, False)


def test_what_is_no_call_is_text_with_a_flag(server: ServerProcess) -> None:
    text = '<tool_call>{"name": "get_wether"}</tool_call>'
    *deltas, end = server.generation.Generate(said(text), timeout=300)
    assert "".join(delta.text for delta in deltas) == text
    assert (end.finish.num_tool_calls, end.finish.unparsed) == (0, True)


def test_refusals_name_the_field(server: ServerProcess) -> None:
    choice = pb.ToolChoice(mode=pb.ToolChoice.MODE_NAMED, names=["get_wether"])
    request = pb.GenerateRequest(chat=CHAT, tool_choice=choice)
    with pytest.raises(grpc.RpcError, match="get_weather, get_time") as caught:
        list(server.generation.Generate(request, timeout=300))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_models_tell_their_formats(server: ServerProcess) -> None:
    chat = server.models.GetModel(models_pb2.GetModelRequest(model="calls"), timeout=300).generation.chat
    assert (chat.tool_format, chat.reasoning_format) == ("hermes", "think")
