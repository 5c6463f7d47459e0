"""Requests to infer and to generate: read, answered by the gRPC half, written as HTTP has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

from attendant_proto.openinference import inference_pb2 as pb
from starlette.requests import Request
from starlette.responses import Response

from attendant.core.errors import InvalidRequest, StreamNeeded
from attendant.http.api.answers import NO_STORE, Event, Events
from attendant.http.api.bodies import LONG_BODY, parsed
from attendant.http.api.openinference.answering import as_json, is_binary, written
from attendant.http.api.openinference.asking import LENGTH, Asked, infer_request, put_all, raw_request
from attendant.http.api.openinference.bodies import GenerateBody
from attendant.http.api.openinference.compression import WORTHWHILE, coding_of, deflated
from attendant.http.api.openinference.generating import generate_request, generated, is_flagged, piece, task_of
from attendant.http.api.openinference.paths import model_of
from attendant.http.calls import of_this_call
from attendant.http.errors import CONTENT_ENCODING
from attendant.rpc.openinference.infer import Inference
from attendant.rpc.openinference.models import Models
from attendant.rpc.openinference.servicer import InferenceServicer

T = TypeVar("T")

LARGE_IN_JSON, LARGE_IN_BYTES = 8 * 1024, 1024 * 1024
"""Bytes of the tensors of an answer from which on it is written in a thread."""


async def infer(servicer: InferenceServicer, request: Request, body: bytes) -> Response:
    """One request, one answer."""
    asked = await _asked(request, body, servicer.models)
    answer = await _answer(servicer.models, asked.message)
    content, headers = await _made(lambda: written(answer, asked), *_size(answer, asked))
    coding = coding_of(request.headers)
    if coding and len(content) >= WORTHWHILE:
        content, headers = await deflated(content, coding), {**headers, CONTENT_ENCODING: coding}
    return Response(content, headers={**NO_STORE, "vary": "accept-encoding", **headers})


async def generate(servicer: InferenceServicer, request: Request, body: bytes) -> Response:
    """One request, one answer, both flat."""
    message = await _generate_request(request, body, servicer.models, stream=False)
    answer = await _answer(servicer.models, message)
    content = await _made(lambda: as_json(generated(answer)), answer.ByteSize(), LARGE_IN_JSON)
    return Response(content, headers=NO_STORE, media_type="application/json")


async def generate_stream(servicer: InferenceServicer, request: Request, body: bytes) -> Events:
    """One request, and an event for each answer."""
    message = await _generate_request(request, body, servicer.models, stream=True)
    return _events(Inference(servicer.models, message), flagged=is_flagged(message))


async def _answer(models: Models, message: pb.ModelInferRequest) -> pb.ModelInferResponse:
    try:
        return await Inference(models, message).single(of_this_call())
    except StreamNeeded:
        why = "inputs[stream] is true, and this call has one answer; allowed: false, or generate_stream"
        raise StreamNeeded(why) from None


async def _events(inference: Inference, *, flagged: bool) -> AsyncGenerator[Event, None]:
    async with aclosing(inference.streamed(of_this_call())) as answers:
        async for answer in answers:
            yield await _event(answer, flagged=flagged)


async def _event(answer: pb.ModelInferResponse, *, flagged: bool) -> Event:
    """An answer as an event, written in a thread where that takes long: tokens do not, vectors may."""
    if answer.ByteSize() < LARGE_IN_JSON:
        return Event(piece(answer, flagged=flagged))
    return Event(await asyncio.to_thread(lambda: as_json(piece(answer, flagged=flagged)).decode()))


async def _asked(request: Request, body: bytes, models: Models) -> Asked:
    model, version = model_of(request)
    length = _length(request, len(body))
    if length == 0 and body:
        first = models.of_request(pb.ModelInferRequest(model_name=model, model_version=version)).port.inputs[0]
        return raw_request(body, model, version, first)
    head, tail = (body, b"") if length is None else (body[:length], body[length:])
    return await _made(lambda: infer_request(head, tail, model, version), len(head), LONG_BODY)


async def _generate_request(request: Request, body: bytes, models: Models, *, stream: bool) -> pb.ModelInferRequest:
    model, version = model_of(request)
    given = (await parsed(GenerateBody, body)).root
    head = pb.ModelInferRequest(model_name=model, model_version=version)
    put_all(head, task_of(given))
    inputs = models.of_request(head).port.inputs
    make = lambda: generate_request(given, model, version, inputs, stream=stream)  # noqa: E731
    return await _made(make, len(body), LONG_BODY)


async def _made(make: Callable[[], T], size: int, long: int) -> T:
    """What ``make`` gives, made in a thread where ``size`` bytes are ``long``."""
    return await asyncio.to_thread(make) if size >= long else make()


def _size(answer: pb.ModelInferResponse, asked: Asked) -> tuple[int, int]:
    """How many bytes the tensors of an answer have, and from how many on writing it takes long."""
    sizes = [len(raw) for raw in answer.raw_output_contents]
    in_json = [size for size, each in zip(sizes, answer.outputs, strict=True) if not is_binary(asked, each.name)]
    return (sum(in_json), LARGE_IN_JSON) if sum(in_json) >= LARGE_IN_JSON else (sum(sizes), LARGE_IN_BYTES)


def _length(request: Request, most: int) -> int | None:
    """How many bytes of a body are its JSON; None if all are."""
    said = request.headers.get(LENGTH)
    if said is None:
        return None
    if not (said.isascii() and said.isdecimal() and len(said) < 20 and int(said) <= most):
        raise InvalidRequest(LENGTH, f"is {said[:100]!r}; allowed: 0 to {most}, the length of the body")
    return int(said)
