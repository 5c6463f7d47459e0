"""Every call of attendant.v1 through one tensor of JSON: the messages and the errors of its own service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import pytest
from attendant.core.context import CallContext, current_call
from attendant.core.errors import InvalidRequest, ModelNotFound
from attendant.core.generation import Delta, GenerationCall, TextPrompt
from attendant.frontend.front_end import FrontEnd
from attendant.rpc.encoding import EncodingServicer
from attendant.rpc.explain import ExplainServicer
from attendant.rpc.openinference.methods import Method, MethodPort, methods_of, within
from attendant.rpc.servicers import GenerationServicer, ModelsServicer, TokenizerServicer
from attendant.rpc.speech import SpeechServicer
from attendant_proto.v1 import encoding_pb2, explain_pb2, generation_pb2, models_pb2, speech_pb2
from google.protobuf.json_format import Parse

from tests.frontend.explain.helpers import with_demos
from tests.rpc.openinference.calls import answers, infer_call, values

ALL = sorted(
    f"attendant.v1.{service}/{method}"
    for service, methods in (
        ("Encoding", ("Answer", "Classify", "ClassifyAudio", "ClassifyImage", "ClassifyTokens", "Embed", "EmbedImage")),
        ("Encoding", ("FillMask", "Rerank", "Stream", "Transcribe")),
        ("Explain", ("Attention", "Attribute", "Similarity")),
        ("Generation", ("Estimate", "Generate")),
        ("Models", ("GetModel", "Index", "ListModels", "Load", "Unload")),
        ("Speech", ("StreamTranscribe", "Transcribe")),
        ("Tokenizer", ("Detokenize", "Tokenize")),
    )
    for method in methods
)


def methods_over(front_end: FrontEnd) -> Mapping[str, Method]:
    services: Sequence[tuple[Any, str, object]] = (
        (generation_pb2, "Generation", GenerationServicer(front_end.generation)),
        (models_pb2, "Models", ModelsServicer(front_end)),
        (models_pb2, "Tokenizer", TokenizerServicer(front_end.tokenizer)),
        (encoding_pb2, "Encoding", EncodingServicer(front_end.encoding)),
        (speech_pb2, "Speech", SpeechServicer(front_end.speech)),
        (explain_pb2, "Explain", ExplainServicer(front_end.explain)),
    )
    return methods_of((file.DESCRIPTOR.services_by_name[name], servicer) for file, name, servicer in services)


def with_methods(test: Callable[[FrontEnd, Mapping[str, Method]], Awaitable[None]], *demos: str) -> None:
    with_demos(lambda front_end: test(front_end, methods_over(front_end)), *demos)


async def ask(port: MethodPort, method: str, *requests: Any, alone: bool = False) -> list[list[Any]]:
    """The JSON of each response of each answer."""
    call = infer_call("", {"request": [json.dumps(each) for each in requests]}, method=f"attendant.v1.{method}")
    found = [values(each) for each in await answers(port, call, alone=alone)]
    assert all(set(each) == {"response"} for each in found)
    return [[json.loads(words) for words in each["response"]] for each in found]


def test_every_method_of_attendant_v1_is_there() -> None:
    async def test(front_end: FrontEnd, methods: Mapping[str, Method]) -> None:
        assert sorted(methods) == ALL
        with pytest.raises(InvalidRequest) as caught:
            await ask(MethodPort(methods), "Generation/Invent", {})
        assert caught.value.field == "parameters[method]"
        assert caught.value.reason == f"is 'attendant.v1.Generation/Invent'; allowed: {', '.join(ALL)}"

    with_methods(test, "bundle")


def test_a_stream_is_a_response_for_each_message_or_all_in_one() -> None:
    async def test(front_end: FrontEnd, methods: Mapping[str, Method]) -> None:
        wanted = GenerationCall("", TextPrompt("Where is"), max_tokens=5, temperature=0)
        parts = [part async for part in front_end.generation.generate(wanted)]
        request = {"text": "Where is", "stopping": {"maxTokens": 5}, "sampling": {"temperature": 0}}
        told = [each for (each,) in await ask(MethodPort(methods), "Generation/Generate", request)]
        assert "".join(each.get("text", "") for each in told) == "".join(p.text for p in parts if isinstance(p, Delta))
        assert told[-1]["finish"]["reason"] == "FINISH_REASON_LENGTH"
        ((*first, last),) = await ask(MethodPort(methods), "Generation/Generate", request, alone=True)
        assert "".join(each.get("text", "") for each in first) == "".join(each.get("text", "") for each in told)
        assert last["finish"]["usage"] == told[-1]["finish"]["usage"]
        ((tokens,),) = await ask(MethodPort(methods), "Tokenizer/Tokenize", {"text": "Where is"})
        back = await ask(MethodPort(methods), "Tokenizer/Detokenize", {"token_ids": tokens["token_ids"]})
        assert back == [[{"text": "Where is"}]]
        ((models,),) = await ask(MethodPort(methods), "Models/ListModels", {})
        assert [each["name"] for each in models["models"]] == ["demo"]

    with_methods(test, "bundle")


def test_numbers_come_back_to_the_bit() -> None:
    async def test(front_end: FrontEnd, methods: Mapping[str, Method]) -> None:
        request = {"inputs": [{"text": "A truly lovely film."}], "raw_scores": True}
        ((told,),) = await ask(MethodPort(methods), "Encoding/Classify", request)
        message = Parse(json.dumps(request), encoding_pb2.ClassifyRequest())
        classify = methods["attendant.v1.Encoding/Classify"].responses([message])
        (direct,) = [each async for each in within(CallContext.new(), classify)]
        assert Parse(json.dumps(told), encoding_pb2.ClassifyResponse()).results == direct.results
        many = await ask(
            MethodPort(methods, "sentiment"),
            "Encoding/Stream",
            *({"id": str(i), "classify": request} for i in range(3)),
            alone=True,
        )
        assert sorted(each["id"] for each in many[0]) == ["0", "1", "2"]
        assert [each["classify"]["results"] for each in many[0]] == [told["results"]] * 3
        seen = await ask(
            MethodPort(methods), "Explain/Attention", {"subject": {"text": "A truly lovely film."}, "layers": [0]}
        )
        assert len(seen) > 1

    with_methods(test, "sentiment")


def test_errors_are_those_of_the_method() -> None:
    async def test(front_end: FrontEnd, methods: Mapping[str, Method]) -> None:
        port = MethodPort(methods)
        cases: list[tuple[str, Any, str]] = [
            ("Generation/Generate", {"text": "a", "sampling": {"topP": 3}}, "sampling.top_p"),
            ("Generation/Generate", {"text": "a", "smapling": {}}, "inputs[request][0]"),
            ("Generation/Generate", [], "inputs[request][0]"),
            ("Tokenizer/Tokenize", {}, "input"),
        ]
        for method, request, field in cases:
            with pytest.raises(InvalidRequest) as caught:
                await ask(port, method, request)
            assert caught.value.field == field
        with pytest.raises(ModelNotFound):
            await ask(port, "Models/GetModel", {"model": "none"})
        with pytest.raises(InvalidRequest, match="has 2 elements; allowed: 1"):
            await ask(port, "Models/ListModels", {}, {})
        with pytest.raises(InvalidRequest, match="is not known; allowed beside method: none"):
            await answers(port, infer_call("", {"request": "{}"}, method="attendant.v1.Models/ListModels", top_p=1))
        with pytest.raises(InvalidRequest, match="is not UTF-8"):
            await answers(port, infer_call("", {"request": b"\xff"}, method="attendant.v1.Models/ListModels"))

    with_methods(test, "bundle")


def test_a_request_is_for_the_model_that_it_names() -> None:
    async def test(front_end: FrontEnd, methods: Mapping[str, Method]) -> None:
        port = MethodPort(methods, "translator")
        for request in ({"text": "Where is the station?"}, {"model": "translator", "text": "Where is the station?"}):
            ((told,),) = await ask(port, "Tokenizer/Tokenize", request)
            assert told["token_ids"]
        with pytest.raises(InvalidRequest) as caught:
            await ask(port, "Tokenizer/Tokenize", {"model": "demo", "text": "a"})
        assert caught.value.field == "inputs[request][0].model"
        with pytest.raises(InvalidRequest, match="'translator', which does not write what it hears"):
            await ask(port, "Speech/Transcribe", {"file": "AAAA"})

    with_methods(test, "bundle", "translator")


def test_a_call_is_made_in_the_name_of_its_context_and_ends_with_its_caller() -> None:
    seen: list[str] = []

    class Slow(GenerationServicer):
        async def Generate(self, request: Any, context: Any) -> Any:  # noqa: N802
            call = current_call()
            seen.append(call.request_id if call is not None else "")
            try:
                yield generation_pb2.GenerateResponse(text="a")
                await asyncio.Event().wait()
            finally:
                seen.append("closed")

    async def test(front_end: FrontEnd, methods: Mapping[str, Method]) -> None:
        service = generation_pb2.DESCRIPTOR.services_by_name["Generation"]
        port = MethodPort(methods_of([(service, Slow(front_end.generation))]))
        call = infer_call("", {"request": "{}"}, method="attendant.v1.Generation/Generate")
        async with aclosing(port.answer(call, CallContext.new("mine"), alone=False)) as found:
            assert values(await anext(found)) == {"response": ['{"text": "a"}']}
            assert current_call() is None
        assert seen == ["mine", "closed"]

    with_methods(test, "bundle")
