"""A trained model that knows no tools calls one when it has to, and calls the right one."""

from __future__ import annotations

import json

from attendant_proto.v1 import generation_pb2 as pb

from tests.real.conftest import BundleOf, ServerOf

CITY = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 24}}, "required": ["city"]}
TOOLS = [
    pb.Tool(name="get_weather", parameters=json.dumps({**CITY, "additionalProperties": False})),
    pb.Tool(name="get_time", parameters=json.dumps({**CITY, "additionalProperties": False})),
]


FORMATS = ("", "llama3_json", "llama_pythonic", "mistral", "mistral_args")


def test_smollm2_calls_the_tool_that_it_has_to_call(bundle_of: BundleOf, server_of: ServerOf) -> None:
    question = pb.ChatMessage(role="user", content="What is the weather in Paris?")
    named = pb.ToolChoice(mode=pb.ToolChoice.MODE_NAMED, names=["get_weather"])
    required = pb.ToolChoice(mode=pb.ToolChoice.MODE_REQUIRED, single=True)
    with server_of(bundle_of("smollm2", "int8")) as server:
        for tool_format in FORMATS:
            for choice, allowed in (named, {"get_weather"}), (required, {"get_weather", "get_time"}):
                request = pb.GenerateRequest(
                    chat=pb.Chat(messages=[question], tools=TOOLS),
                    tool_choice=choice,
                    tool_format=tool_format,
                    stopping=pb.Stopping(max_tokens=80),
                    whole=True,
                )
                delta, end = server.generation.Generate(request, timeout=300)
                (call,) = delta.tool_calls
                assert call.name in allowed
                assert (delta.text, end.finish.num_tool_calls, end.finish.unparsed) == ("", 1, False)
                ((key, city),) = json.loads(call.arguments).items()
                assert key == "city"
                if choice is named:
                    assert "Paris" in city
