"""Kinds of calls, each a series of requests that are alike in nothing but their shape, and how one ends."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
from attendant_proto.v1 import (
    encoding_pb2,
    encoding_pb2_grpc,
    generation_pb2,
    generation_pb2_grpc,
    speech_pb2,
    speech_pb2_grpc,
)

ANSWERED, REFUSED, LATE = "answered", "refused", "late"


@dataclass(frozen=True, slots=True)
class Work:
    """What a request asks for, in tokens: of each input of its own, and of the answer. ``inputs`` of a recording: what
    its sound counts as a source."""

    inputs: tuple[int, ...]
    answer: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a request ended. ``at_s``: when it came, seconds from the begin of its window; ``took_s``: how long it took
    until its caller heard the end; ``answer``: tokens of the answer, as far as they are known."""

    work: Work
    at_s: float
    took_s: float
    how: str
    answer: int = 0


Call = Callable[[int, float | None], Awaitable[Ended]]
"""Makes request number so-and-so with this deadline in seconds, or without one."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of calls.

    Attributes:
        concurrency: callers of the closed loop that finds the capacity.
        call: makes calls over a channel, whose lengths and tokens follow from a seed.
    """

    name: str
    concurrency: int
    call: Callable[[grpc.aio.Channel, int], Call]
    is_encoder: bool = False


def one_token(prompt: int, vocab_size: int) -> Kind:
    """A prompt, of which one token follows: what a classifier by prompt is."""
    return Kind("one token", 32, lambda channel, seed: _generate(channel, seed, vocab_size, (prompt, prompt), (1, 1)))


def mixed(prompts: tuple[int, int], answers: tuple[int, int], vocab_size: int) -> Kind:
    """Prompts and answers of lengths between two each, evenly."""
    return Kind("mixed", 32, lambda channel, seed: _generate(channel, seed, vocab_size, prompts, answers))


def encoder(texts: int, lengths: tuple[int, int], vocab_size: int) -> Kind:
    """Texts to vectors, so many in a call, of lengths between two, evenly."""

    def call(channel: grpc.aio.Channel, seed: int) -> Call:
        embed = encoding_pb2_grpc.EncodingStub(channel).Embed  # type: ignore[no-untyped-call]

        async def one(number: int, timeout_s: float | None) -> Ended:
            rng = np.random.default_rng((seed, number))
            sizes = tuple(rng.integers(lengths[0], lengths[1] + 1, texts).tolist())
            request = encoding_pb2.EmbedRequest()
            for size in sizes:
                ids = rng.integers(min(1000, vocab_size // 2), vocab_size, size)
                request.inputs.add().token_ids.ids.extend(ids.tolist())
            return await _ended(Work(sizes), embed(request, timeout=timeout_s))

        return one

    return Kind("encoder", 48, call, is_encoder=True)


def speech(file: Path, source: int) -> Kind:
    """A recording. ``source``: what a window of sound counts in a step."""
    data = file.read_bytes()

    def call(channel: grpc.aio.Channel, seed: int) -> Call:
        transcribe = speech_pb2_grpc.SpeechStub(channel).Transcribe  # type: ignore[no-untyped-call]

        async def one(number: int, timeout_s: float | None) -> Ended:
            request = speech_pb2.SpeechRequest(file=data)
            return await _ended(Work((source,)), transcribe(request, timeout=timeout_s))

        return one

    return Kind("speech", 8, call)


def _generate(
    channel: grpc.aio.Channel, seed: int, vocab_size: int, prompts: tuple[int, int], answers: tuple[int, int]
) -> Call:
    generate = generation_pb2_grpc.GenerationStub(channel).Generate  # type: ignore[no-untyped-call]

    async def one(number: int, timeout_s: float | None) -> Ended:
        rng = np.random.default_rng((seed, number))
        prompt, answer = int(rng.integers(prompts[0], prompts[1] + 1)), int(rng.integers(answers[0], answers[1] + 1))
        request = generation_pb2.GenerateRequest(
            stopping=generation_pb2.Stopping(max_tokens=answer, ignore_eos=True),
            sampling=generation_pb2.Sampling(temperature=0),
        )
        request.token_ids.ids.extend(rng.integers(min(1000, vocab_size // 2), vocab_size, prompt).tolist())

        async def answered() -> None:
            async for _ in generate(request, timeout=timeout_s):
                pass

        return await _ended(Work((prompt,), answer), answered())

    return one


async def _ended(work: Work, call: Awaitable[Any]) -> Ended:
    begun = time.perf_counter()
    how, answer = ANSWERED, 0
    try:
        response = await call
        if hasattr(response, "usage"):
            answer = getattr(response.usage, "completion_tokens", 0)
    except grpc.aio.AioRpcError as error:
        match error.code():
            case grpc.StatusCode.RESOURCE_EXHAUSTED | grpc.StatusCode.UNAVAILABLE:  # by gRPC, before a call is seen
                how = REFUSED
            case grpc.StatusCode.DEADLINE_EXCEEDED:
                how = LATE
            case _:
                raise
    return Ended(work, begun, time.perf_counter() - begun, how, answer or work.answer)
