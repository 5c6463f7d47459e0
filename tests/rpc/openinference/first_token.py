"""`python -m tests.rpc.openinference.first_token BUNDLE [ROUNDS [FLAGS]]`: what a stream costs over that protocol.

A server process answers both contracts in turns, in random order, so that what the machine does besides hits both: the
time to the first token of one caller, and tokens a second of eight.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import grpc.aio
import numpy as np
from attendant.bundle import read_any_manifest
from attendant.rpc.openinference.contents import raw_of
from attendant_proto.openinference import inference_pb2 as oip
from attendant_proto.openinference import inference_pb2_grpc
from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import generation_pb2_grpc

from tests.system.server import serving

PROMPT = "Where is my order? It was to come on Monday."
CALLERS = 8
ANSWERS = 1
"""Of each caller in a round."""
RESAMPLED = 4_000
FIRST, MANY = 8, 128
"""Tokens of an answer whose first is timed, and of one of many."""

T = TypeVar("T")
Ask = Callable[[str, int], AsyncIterator[int]]
"""Asks a prompt for so many tokens; tells the number of tokens of each response."""


class Stream:
    """One stream of the Open Inference Protocol, as clients keep it open: a request after the other."""

    def __init__(self, stub: Any, model: str) -> None:
        self._call = stub.ModelStreamInfer()
        self._model = model

    async def ask(self, prompt: str, max_tokens: int) -> AsyncIterator[int]:
        """See :data:`Ask`."""
        await self._call.write(_request(self._model, prompt, max_tokens))
        while True:
            response = (await self._call.read()).infer_response
            place = [output.name for output in response.outputs].index("num_output_tokens")
            yield int(np.frombuffer(response.raw_output_contents[place], np.uint32)[0])
            if response.parameters["triton_final_response"].bool_param:
                return

    def close(self) -> None:
        """End it."""
        self._call.cancel()


def _request(model: str, prompt: str, max_tokens: int) -> oip.ModelInferRequest:
    said = json.dumps({"max_tokens": max_tokens, "temperature": 0, "ignore_eos": True})
    message = oip.ModelInferRequest(model_name=model)
    for name, datatype, value in (
        ("text_input", "BYTES", np.array([prompt.encode()], object)),
        ("sampling_parameters", "BYTES", np.array([said.encode()], object)),
        ("stream", "BOOL", np.array([True])),
        ("return_num_output_tokens", "BOOL", np.array([True])),
    ):
        message.inputs.add(name=name, datatype=datatype, shape=[1])
        message.raw_input_contents.append(raw_of(value, datatype))  # type: ignore[arg-type]
    return message


def _typed(stub: Any, model: str) -> Ask:
    async def ask(prompt: str, max_tokens: int) -> AsyncIterator[int]:
        message = pb.GenerateRequest(model=model, text=prompt)
        message.stopping.max_tokens, message.stopping.ignore_eos, message.sampling.temperature = max_tokens, True, 0
        async for response in stub.Generate(message):
            yield len(response.token_ids)

    return ask


def fresh_prompt() -> str:
    """A prompt whose begin nobody has asked before, so that nothing of it is in the cache."""
    return f"{random.randrange(10**6, 10**7)} {PROMPT}"


async def first_token(ask: Ask) -> float:
    """Seconds until a response with tokens is there."""
    prompt = fresh_prompt()
    begin, found = time.perf_counter(), 0.0
    async for num_tokens in ask(prompt, FIRST):
        if num_tokens and not found:
            found = time.perf_counter() - begin
    return found


async def rate(asks: list[Ask]) -> float:
    """Tokens a second of callers that ask one prompt after the other, until all have their answers."""
    begin = time.perf_counter()

    async def caller(ask: Ask) -> int:
        total = 0
        for _ in range(ANSWERS):
            async for num_tokens in ask(fresh_prompt(), MANY):
                total += num_tokens
        return total

    totals = await asyncio.gather(*(caller(ask) for ask in asks))
    assert totals == [ANSWERS * MANY] * len(asks)
    return sum(totals) / (time.perf_counter() - begin)


async def in_turns(ways: Mapping[str, Callable[[], Awaitable[T]]], rounds: int) -> dict[str, list[T]]:
    """What each way gives in each round, the first of which does not count."""
    found: dict[str, list[T]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name in random.sample(list(ways), len(ways)):
            value = await ways[name]()
            if turn:
                found[name].append(value)
    return found


async def measure(address: str, model: str, rounds: int) -> None:
    """Print both figures of both contracts."""
    async with grpc.aio.insecure_channel(address) as channel:
        typed = _typed(generation_pb2_grpc.GenerationStub(channel), model)
        stub = inference_pb2_grpc.GRPCInferenceServiceStub(channel)
        streams = [Stream(stub, model) for _ in range(CALLERS)]
        timed = await in_turns(
            {
                "attendant.v1": lambda: first_token(typed),
                "ModelStreamInfer": lambda: first_token(streams[0].ask),
            },
            rounds,
        )
        for name, seconds in timed.items():
            p25, p50, _ = (1000 * value for value in statistics.quantiles(seconds, n=4))
            print(f"first token, {name}: p50 {p50:.2f} ms, p25 {p25:.2f} ms of {len(seconds)}")
        pairs = zip(timed["attendant.v1"], timed["ModelStreamInfer"], strict=True)
        low, median, high = interval([1000 * (second - first) for first, second in pairs])
        print(f"difference of a round: p50 {median:+.2f} ms (95 % of resamples: {low:+.2f} to {high:+.2f})")

        rates = await in_turns(
            {
                "attendant.v1": lambda: rate([typed] * CALLERS),
                "ModelStreamInfer": lambda: rate([stream.ask for stream in streams]),
            },
            max(2, rounds // 8),
        )
        for stream in streams:
            stream.close()
        for name, found in rates.items():
            print(f"{CALLERS} callers, {name}: {statistics.median(found):.0f} tokens/s, median of {len(found)} rounds")
        pairs = zip(rates["attendant.v1"], rates["ModelStreamInfer"], strict=True)
        low, median, high = interval([second / first for first, second in pairs])
        print(f"share of a round: p50 {median:.3f} (95 % of resamples: {low:.3f} to {high:.3f})")


def interval(values: list[float]) -> tuple[float, float, float]:
    """The median of values, between the bounds within which 95 % of resamples have theirs."""
    medians = sorted(statistics.median(random.choices(values, k=len(values))) for _ in range(RESAMPLED))
    return medians[RESAMPLED // 40], statistics.median(values), medians[-(RESAMPLED // 40) - 1]


def main() -> None:
    """See the module's docstring."""
    bundle, rounds = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 150
    model = read_any_manifest(bundle).name
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder) / "server.log", bundle, "--engine.max-num-seqs", CALLERS, *sys.argv[3:]) as server,
    ):
        asyncio.run(measure(server.grpc, model, rounds))


if __name__ == "__main__":
    main()
