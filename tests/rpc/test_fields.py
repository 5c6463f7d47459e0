"""Fields by their own names below the wire, by their paths on it."""

from __future__ import annotations

import dataclasses

import grpc
import grpc.aio
import pytest
from attendant.core.errors import InvalidRequest, QueueFull
from attendant.core.generation import BeamCall, GenerationCall, Translation
from attendant.rpc.fields import PATHS, on_wire
from attendant_proto.v1 import generation_pb2_grpc, speech_pb2, speech_pb2_grpc

from tests.frontend.speech.helpers import RATE, FakeGenerator, speech_service
from tests.rpc.fake import FakeService, connected, run, serving
from tests.rpc.test_server import REQUEST, failure

GENERATION, TOKENIZER, SPEECH, ENCODING, EXPLAIN = (
    f"attendant.v1.{name}" for name in ("Generation", "Tokenizer", "Speech", "Encoding", "Explain")
)


@pytest.mark.parametrize(
    ("service", "own", "path"),
    [
        (GENERATION, "top_p", "sampling.top_p"),
        (GENERATION, "logit_bias[17]", "sampling.logit_bias[17]"),
        (GENERATION, "length_decay.factor", "sampling.length_decay.factor"),
        (GENERATION, "max_tokens", "stopping.max_tokens"),
        (GENERATION, "stop", "stopping.stop"),
        (GENERATION, "num_beams", "beam_search.num_beams"),
        (GENERATION, "target_language", "translation.target_language"),
        (GENERATION, "messages", "chat.messages"),
        (GENERATION, "messages[1].tool_calls[0].arguments", "chat.messages[1].tool_calls[0].arguments"),
        (GENERATION, "template_variables", "chat.template_variables"),
        (GENERATION, "tool_choice.names[0]", "tool_choice.names[0]"),
        (EXPLAIN, "tools[0].definition", "subject.chat.tools[0].definition"),
        (GENERATION, "text", "text"),
        (GENERATION, "grammar.regex", "grammar.regex"),
        ("vllm.grpc.engine.VllmEngine", "grammar.regex", "sampling_params.regex"),
        ("vllm.grpc.engine.VllmEngine", "grammar.lark", "sampling_params.grammar"),
        (GENERATION, "chat", "chat"),
        (GENERATION, "n", "n"),
        (GENERATION, "model", "model"),
        (TOKENIZER, "template", "chat.template"),
        (SPEECH, "top_p", "options.sampling.top_p"),
        (SPEECH, "num_beams", "options.beam_search.num_beams"),
        (SPEECH, "language", "options.language"),
        (SPEECH, "model", "options.model"),
        (SPEECH, "sampling_rate", "raw.sampling_rate"),
        (SPEECH, "pcm16", "raw.pcm16"),
        (SPEECH, "file", "file"),
        (SPEECH, "options.task", "options.task"),
        (SPEECH, "sampling.bad_words", "options.sampling.bad_words"),
        (ENCODING, "inputs[3].sampling_rate", "inputs[3].sampling_rate"),
        (ENCODING, "model", "model"),
    ],
)
def test_the_path_of_a_field(service: str, own: str, path: str) -> None:
    error = on_wire(InvalidRequest(own, "is wrong; allowed: what is right"), service)
    assert isinstance(error, InvalidRequest)
    assert (error.field, error.reason, str(error)) == (
        *(path, "is wrong; allowed: what is right"),
        f"{path} is wrong; allowed: what is right",
    )


def test_only_what_is_said_of_fields_changes() -> None:
    full = QueueFull("one", 8, 0.5)
    assert on_wire(full, GENERATION) is full


def test_every_setting_of_a_call_that_the_wire_nests_is_found() -> None:
    """What a call has under a name of its own, and the wire inside another message, is in the table."""
    own = {field.name for kind in (GenerationCall, BeamCall, Translation) for field in dataclasses.fields(kind)}
    flat = {"model", "prompt", "n", "logprobs", "beam_search", "translation", "whole"}
    flat |= {"no_default_settings", "keep_special_tokens", "forced_answer", "receipt"}
    flat |= {"grammar", "tool_choice", "separate", "tool_format", "reasoning_format", "resume"}
    assert own - flat <= PATHS[GENERATION].keys()


def test_a_caller_of_generation_reads_the_path() -> None:
    async def test() -> None:
        async with connected(FakeService(InvalidRequest("top_p", "is 7; allowed: 1"))) as channel:
            error = await failure(generation_pb2_grpc.GenerationStub(channel).Generate(REQUEST))
            assert error.details() == "sampling.top_p is 7; allowed: 1"

    run(test)


def test_a_caller_of_speech_reads_the_path() -> None:
    async def test() -> None:
        service = speech_service(FakeGenerator(InvalidRequest("top_p", "is 7; allowed: 1")))
        raw = speech_pb2.RawAudio(pcm16=b"ab" * RATE, sampling_rate=RATE)
        async with (
            serving(FakeService(), speech=service) as (address, _),
            grpc.aio.insecure_channel(address) as channel,
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await speech_pb2_grpc.SpeechStub(channel).Transcribe(speech_pb2.SpeechRequest(raw=raw))
            assert caught.value.details() == "options.sampling.top_p is 7; allowed: 1"

    run(test)
