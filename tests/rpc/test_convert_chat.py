"""Conversations, tools and grammars reach the core as they were sent."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import grpc
import grpc.aio
import pytest
from attendant.bundle import ChatTemplates
from attendant.core.chat import ChatMessage, ChatPrompt, TextPart, Tool, ToolCall, ToolCallDelta, ToolChoice
from attendant.core.errors import InvalidRequest
from attendant.core.generation import Delta, Finish
from attendant.core.grammar import Grammar
from attendant.core.request import FinishReason, Timings, Usage
from attendant.models.text import TextCodec
from attendant.rpc import convert, convert_chat
from attendant.rpc.convert_models import model_message
from attendant.rpc.openinference.single import parsed
from attendant.rpc.sizes import LARGE_REQUEST
from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import generation_pb2_grpc, models_pb2

from tests.rpc.fake import FINISH, FakeService, connected, generator_info, manifest, run
from tests.synthetic import byte_tokenizer

DEFINITION = {"type": "function", "function": {"parameters": {"type": "object"}, "name": "find"}}


def test_every_field_of_a_conversation_is_read() -> None:
    chat = pb.Chat(
        messages=[
            pb.ChatMessage(role="user", parts=["Where is", "my order?"], name="ann"),
            pb.ChatMessage(
                role="assistant",
                reasoning="It wants a tool.",
                tool_calls=[pb.ToolCall(id="a1", name="find", arguments='{"order": 7}')],
            ),
            pb.ChatMessage(role="tool", content="shipped", tool_call_id="a1"),
            pb.ChatMessage(role="assistant"),
        ],
        template="shop",
        tools=[
            pb.Tool(name="find", description="Finds.", parameters='{"type": "object"}', strict=True),
            pb.Tool(name="look"),
            pb.Tool(definition=json.dumps(DEFINITION)),
        ],
        documents=['{"title": "t", "text": "x"}'],
        template_variables='{"enable_thinking": false}',
        given_template="{{ messages }}",
        continue_final_message=True,
        no_generation_prompt=True,
    )
    function = {"name": "find", "description": "Finds.", "parameters": {"type": "object"}, "strict": True}
    found = convert_chat.chat_prompt(chat)
    assert found == ChatPrompt(
        (
            ChatMessage("user", (TextPart("Where is"), TextPart("my order?")), "ann"),
            ChatMessage("assistant", None, "", "It wants a tool.", (ToolCall("find", '{"order": 7}', "a1"),)),
            ChatMessage("tool", "shipped", tool_call_id="a1"),
            ChatMessage("assistant", ""),
        ),
        "shop",
        (
            Tool("find", {"type": "function", "function": function}),
            Tool("look", {"type": "function", "function": {"name": "look"}}),
            Tool("find", DEFINITION),
        ),
        ({"title": "t", "text": "x"},),
        {"enable_thinking": False},
        "{{ messages }}",
        continues=True,
        adds_generation_prompt=False,
    )
    # templates write tools as JSON: their keys stay in the order in which they came
    assert [list(tool.definition["function"]) for tool in found.tools] == [
        ["name", "description", "parameters", "strict"],
        ["name"],
        ["parameters", "name"],
    ]
    assert [tool.strict for tool in found.tools] == [True, False, False]
    assert set(pb.Chat.DESCRIPTOR.fields_by_name) == {
        *("messages", "template", "tools", "documents", "template_variables", "given_template"),
        *("continue_final_message", "no_generation_prompt"),
    }


@pytest.mark.parametrize(
    ("chat", "field", "said"),
    [
        ({"tools": [pb.Tool(name="f", parameters="{")]}, "tools[0].parameters", "is no JSON"),
        ({"tools": [pb.Tool(definition="[]")]}, "tools[0].definition", "is a JSON list; allowed: an object"),
        ({"tools": [pb.Tool(definition='{"function": {}}')]}, "tools[0].definition", "is no {"),
        ({"documents": ["{}", "7"]}, "documents[1]", "is a JSON int; allowed: an object"),
        ({"template_variables": "[" * 100_000}, "template_variables", "is no JSON"),
        ({"messages": [pb.ChatMessage(content="a", parts=["b"])]}, "messages[0]", "has content and parts"),
    ],
)
def test_what_cannot_be_read_is_named(chat, field, said) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidRequest) as caught:
        convert_chat.chat_prompt(pb.Chat(**chat))
    assert caught.value.field == field
    assert said in caught.value.reason


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (pb.Grammar(json_object=True), Grammar("json_object")),
        (pb.Grammar(json_schema="{}"), Grammar("json_schema", "{}")),
        (pb.Grammar(regex="a+"), Grammar("regex", "a+")),
        (pb.Grammar(choice=pb.Choices(texts=["yes", "no"])), Grammar("choice", choices=("yes", "no"))),
        (pb.Grammar(lark="start: /a/"), Grammar("lark", "start: /a/")),
        (pb.Grammar(gbnf='root ::= "a"'), Grammar("gbnf", 'root ::= "a"')),
    ],
)
def test_every_kind_of_grammar_is_read(sent: pb.Grammar, read: Grammar) -> None:
    assert convert.generation_call(pb.GenerateRequest(text="x", grammar=sent)).grammar == read


@pytest.mark.parametrize("sent", [pb.Grammar(), pb.Grammar(json_object=False)])
def test_a_grammar_that_says_nothing_is_refused(sent: pb.Grammar) -> None:
    with pytest.raises(InvalidRequest, match="grammar"):
        convert_chat.grammar(sent)


def test_a_choice_of_tools_is_read() -> None:
    sent = pb.ToolChoice(mode=pb.ToolChoice.MODE_NAMED, names=["find"], single=True)
    call = convert.generation_call(pb.GenerateRequest(text="x", tool_choice=sent))
    assert call.tool_choice == ToolChoice("named", ("find",), parallel=False)
    assert convert.generation_call(pb.GenerateRequest(text="x")).tool_choice is None
    with pytest.raises(InvalidRequest, match=r"tool_choice\.mode is 9; allowed: 0 to 3"):
        convert_chat.tool_choice(pb.ToolChoice(mode=9))  # type: ignore[arg-type]


def test_reasoning_and_tool_calls_reach_the_wire() -> None:
    calls = (ToolCallDelta(0, "{", "a1", "find"), ToolCallDelta(0, "}"))
    sent = convert.generate_response(Delta(1, "", (5,), reasoning="hm", tool_calls=calls))
    assert sent.reasoning == "hm"
    pieces = [pb.ToolCall(id="a1", name="find", arguments="{"), pb.ToolCall(arguments="}")]
    assert list(sent.tool_calls) == pieces
    end = Finish(
        1, FinishReason.STOP, Usage(1, 0, 9), Timings(), num_tool_calls=1, unparsed=True, num_reasoning_tokens=5
    )
    finish = convert.generate_response(end).finish
    assert (finish.num_tool_calls, finish.unparsed, finish.num_reasoning_tokens) == (1, True, 5)


def test_callers_learn_what_the_chat_templates_of_a_model_look_at() -> None:
    thinks = "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{% for part in m.content %}"
    thinks += "{{ part.text }}{% endfor %}{% endif %}{% endfor %}{% if enable_thinking %}{{ eos_token }}{% endif %}"
    sources = {"default": thinks, "rag": "{{ documents }}{{ date | default('today') }}"}
    codec = TextCodec(byte_tokenizer(), ChatTemplates(sources, {"eos_token": "</s>"}))
    shown = generator_info(manifest(chat_template=thinks, chat_templates={"rag": sources["rag"]}))
    assert shown.generation is not None
    told = replace(shown, generation=replace(shown.generation, chat=codec.chat_facts()))
    assert model_message(told).generation.chat == models_pb2.ChatInfo(
        templates=["rag"],
        documents=True,
        parts=True,
        thinking=True,
        variables=["date", "enable_thinking"],
        tool_format="none",
        reasoning_format="none",
    )
    assert TextCodec(byte_tokenizer(), None).chat_facts() is None


def test_a_conversation_has_a_limit_of_pieces() -> None:
    half = convert_chat.MOST_PIECES // 2
    least = pb.ChatMessage(role="user", content="")
    many = pb.Chat(messages=[least] * half, documents=["{}"] * half)
    assert convert_chat.is_large_chat(many)
    assert len(convert_chat.chat_prompt(many).messages) == half
    for more in (
        pb.Chat(tools=[pb.Tool(name="f")]),
        pb.Chat(messages=[pb.ChatMessage(parts=[""])]),
        pb.Chat(messages=[pb.ChatMessage(tool_calls=[pb.ToolCall(name="f")])]),
    ):
        more.MergeFrom(many)
        with pytest.raises(InvalidRequest, match="chat has more than 65,536 messages, parts"):
            convert_chat.chat_prompt(more)
    parts = pb.Chat(messages=[pb.ChatMessage(parts=[""] * (2 * half))])
    assert convert_chat.is_large_chat(parts)
    with pytest.raises(InvalidRequest):
        convert_chat.chat_prompt(parts)


@pytest.mark.parametrize("values", ["[%s1]" % ("[]," * 2**19), '{%s"a": 1}' % ('"b":[],' * 2**19)])
def test_json_with_too_many_values_is_refused_before_it_is_parsed(values: str) -> None:
    with pytest.raises(InvalidRequest, match=r"documents\[0\] has more than 1,048,576 values"):
        convert_chat.chat_prompt(pb.Chat(documents=[values]))
    with pytest.raises(InvalidRequest, match="chat has more than 1,048,576 values"):
        parsed(values, "chat", "an array")


def test_a_conversation_with_much_json_is_read_in_a_thread() -> None:
    long = json.dumps({"text": "x" * LARGE_REQUEST})
    assert not convert_chat.is_large_chat(pb.Chat(messages=[pb.ChatMessage(content=long)], tools=[pb.Tool(name="f")]))
    for chat in (
        pb.Chat(documents=["{}", long]),
        pb.Chat(template_variables=long),
        pb.Chat(tools=[pb.Tool(definition=long)]),
        pb.Chat(tools=[pb.Tool(parameters=long)]),
    ):
        assert convert_chat.is_large_chat(chat)

    async def test() -> None:
        here = threading.get_ident()
        assert await convert_chat.timely(pb.Chat(), threading.get_ident) == here
        assert await convert_chat.timely(pb.Chat(documents=[long]), threading.get_ident) != here
        service = FakeService(FINISH)
        async with connected(service) as channel:
            stub = generation_pb2_grpc.GenerationStub(channel)
            request = pb.GenerateRequest(chat=pb.Chat(documents=[long, "{"]))
            with pytest.raises(grpc.aio.AioRpcError, match=r"chat\.documents\[1\] is no JSON"):
                [part async for part in stub.Generate(request)]
            request.chat.documents.pop()
            assert [part async for part in stub.Generate(request)]
        (call,) = service.calls
        assert isinstance(call.prompt, ChatPrompt)
        assert call.prompt.documents == (json.loads(long),)

    run(test)
