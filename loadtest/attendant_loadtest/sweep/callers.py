"""One call of a model over one protocol, and when its answers came."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any

import grpc.aio
from attendant_proto.openinference import inference_pb2 as oip
from attendant_proto.openinference import inference_pb2_grpc
from attendant_proto.v1 import encoding_pb2, encoding_pb2_grpc, generation_pb2, generation_pb2_grpc

from attendant_loadtest.sweep.windows import Sample

ATTENDANT, OPEN_INFERENCE = "attendant.v1", "openinference"
PROTOCOLS = (ATTENDANT, OPEN_INFERENCE)
ENCODES = ("classify", "embed")
"""Tasks of models that take one text a call here."""

Caller = Callable[[], Awaitable[Sample]]


class Unfit(Exception):
    """The model takes no calls of this kind, or does not answer them; the message says how."""


def encoder(protocol: str, channel: grpc.aio.Channel, model: str, task: str, texts: Sequence[str]) -> Caller:
    """Calls with one text each, in turn. ``task``: of :data:`ENCODES`."""
    each = itertools.cycle(texts)
    if protocol == OPEN_INFERENCE:
        infer = inference_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer  # type: ignore[no-untyped-call]
        return _whole(infer, (_text_tensor(model, "text", text) for text in each))
    stub = encoding_pb2_grpc.EncodingStub(channel)  # type: ignore[no-untyped-call]
    method, kind = {
        "classify": (stub.Classify, encoding_pb2.ClassifyRequest),
        "embed": (stub.Embed, encoding_pb2.EmbedRequest),
    }[task]
    return _whole(method, (kind(model=model, inputs=[encoding_pb2.TextInput(text=text)]) for text in each))


def generator(protocol: str, channel: grpc.aio.Channel, model: str, max_tokens: int, texts: Sequence[str]) -> Caller:
    """Streams of ``max_tokens`` greedy tokens each, which no end of text cuts short."""
    each = itertools.cycle(texts)
    if protocol == OPEN_INFERENCE:
        stream = inference_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer  # type: ignore[no-untyped-call]

        async def answers() -> AsyncIterator[bool]:
            async for message in stream(iter([_prompt_tensors(model, max_tokens, next(each))])):
                if message.error_message:
                    raise Unfit(f"{model} failed: {message.error_message}")
                yield bool(message.infer_response.outputs)

    else:
        generate = generation_pb2_grpc.GenerationStub(channel).Generate  # type: ignore[no-untyped-call]

        async def answers() -> AsyncIterator[bool]:
            stopping = generation_pb2.Stopping(max_tokens=max_tokens, ignore_eos=True)
            sampling = generation_pb2.Sampling(temperature=0)
            request = generation_pb2.GenerateRequest(model=model, text=next(each), stopping=stopping, sampling=sampling)
            async for message in generate(request):
                yield bool(message.token_ids)

    return lambda: _streamed(answers())


def _whole(method: Any, requests: Iterator[Any]) -> Caller:
    async def call() -> Sample:
        request = next(requests)
        started = time.perf_counter()
        await method(request)
        total_s = time.perf_counter() - started
        return Sample(total_s, total_s)

    return call


async def _streamed(answers: AsyncIterator[bool]) -> Sample:
    started = time.perf_counter()
    moments = [time.perf_counter() - started async for answer in answers if answer]
    total_s = time.perf_counter() - started
    if not moments:
        raise Unfit("a stream ended without a token")
    gaps = tuple(later - earlier for earlier, later in itertools.pairwise(moments))
    return Sample(total_s, moments[0], gaps)


def _text_tensor(model: str, name: str, text: str) -> oip.ModelInferRequest:
    request = oip.ModelInferRequest(model_name=model)
    _add(request, name, text.encode())
    return request


def _prompt_tensors(model: str, max_tokens: int, text: str) -> oip.ModelInferRequest:
    request = _text_tensor(model, "text_input", text)
    request.inputs.add(name="stream", datatype="BOOL", shape=[1])
    request.raw_input_contents.append(b"\x01")
    sampling = {"max_tokens": max_tokens, "temperature": 0, "ignore_eos": True}
    _add(request, "sampling_parameters", json.dumps(sampling).encode())
    return request


def _add(request: oip.ModelInferRequest, name: str, value: bytes) -> None:
    request.inputs.add(name=name, datatype="BYTES", shape=[1])
    request.raw_input_contents.append(len(value).to_bytes(4, "little") + value)
