"""`python -m tests.rpc.openinference.speed [BUNDLE] [ROUNDS]`: what a call on an encoder costs in the Open Inference
Protocol, beside the same call of attendant.v1.

Sixteen callers ask one after the other. Windows of each kind of call take turns in random order, and each is compared
with the typed one of its own round: in calls a second, and in processor time of the server for a call, which scatters
less on a machine that others use too. Requests are made once, and answers are not read, so that a caller costs the
same.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np
import psutil
from attendant.bundle import EncoderManifest, read_any_manifest
from attendant.demo import demo_bundle
from attendant_proto.v1 import encoding_pb2 as v1
from attendant_proto.v1.generation_pb2 import TokenIds
from tokenizers import Tokenizer

from tests.rpc.openinference.helpers import request, tensor
from tests.system.server import serving

CALLERS, WINDOW_S, WARM_UP_S, ROUNDS = 16, 0.5, 0.1, 40
TEXT = "The parcel came two days late, but everything in it was whole and the people on the phone were kind."
RESAMPLED = 10_000
INFER = "/inference.GRPCInferenceService/ModelInfer"


@dataclass(frozen=True)
class Way:
    """A kind of call, made once. ``beside``: the one that it is compared with."""

    method: str
    message: bytes
    beside: str = ""


def ways(bundle: Path) -> Mapping[str, Way]:
    """What is measured on a model that embeds or classifies."""
    manifest = read_any_manifest(bundle)
    assert isinstance(manifest, EncoderManifest)
    name, task = manifest.name, {"embed": "Embed", "classify": "Classify"}[manifest.task]
    ids = Tokenizer.from_file(str(bundle / "tokenizer.json")).encode(TEXT).ids
    kind = getattr(v1, f"{task}Request")
    method = f"/attendant.v1.Encoding/{task}"
    array, mask = np.array([ids]), np.ones((1, len(ids)), np.int64)

    def typed(item: v1.TextInput) -> Way:
        return Way(method, kind(model=name, inputs=[item]).SerializeToString())

    tokens = tensor("input_ids", array, "INT64"), tensor("attention_mask", mask, "INT64")
    text = request(name, tensor("text", [TEXT], "BYTES"))
    contents = request(name, tensor("text", [TEXT], "BYTES"))
    del contents.raw_input_contents[:]
    contents.inputs[0].contents.bytes_contents.append(TEXT.encode())
    return {
        "typed, text": typed(v1.TextInput(text=TEXT)),
        "infer, text": Way(INFER, text.SerializeToString(), "typed, text"),
        "infer, text, not raw": Way(INFER, contents.SerializeToString(), "typed, text"),
        "typed, tokens": typed(v1.TextInput(token_ids=TokenIds(ids=ids))),
        "infer, tokens": Way(INFER, request(name, *tokens).SerializeToString(), "typed, tokens"),
    }


async def window(channel: grpc.aio.Channel, way: Way, server: psutil.Process) -> tuple[float, float]:
    """Calls a second, and seconds of the server's processor time for a call."""
    call: Any = channel.unary_unary(way.method)
    number = 0

    async def ask(until: float) -> None:
        nonlocal number
        while time.monotonic() < until:
            await call(way.message)
            number += 1

    async def ask_together(seconds: float) -> None:
        until = time.monotonic() + seconds
        await asyncio.gather(*(ask(until) for _ in range(CALLERS)))

    await ask_together(WARM_UP_S)
    number, began, before = 0, time.monotonic(), server.cpu_times()
    await ask_together(WINDOW_S)
    after, took_s = server.cpu_times(), time.monotonic() - began
    used_s = after.user + after.system - before.user - before.system
    return number / took_s, used_s / number


async def measure(
    address: str, pid: int, found: Mapping[str, Way], rounds: int
) -> dict[str, list[tuple[float, float]]]:
    server = psutil.Process(pid)
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in found}
    async with grpc.aio.insecure_channel(address) as channel:
        for _ in range(rounds):
            for name in random.sample(list(found), len(found)):
                measured[name].append(await window(channel, found[name], server))
    return measured


def interval(values: Sequence[float]) -> str:
    """The median, and where it is with 95 %."""
    drawn = np.random.default_rng(1).choice(np.array(values), (RESAMPLED, len(values)))
    low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
    return f"{np.median(values):.3f} [{low:.3f}, {high:.3f}]"


def main(bundle: Path, rounds: int) -> None:
    found = ways(bundle)
    flags = "--no-verify-bundles", "--encoder.threads", 1, "--no-encoder.spinning"
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "log", bundle, *flags) as server:
        measured = asyncio.run(measure(server.grpc, server.process.pid, found, rounds))
    print(f"{bundle.name}, {CALLERS} callers, {rounds} rounds of {WINDOW_S:g} s; medians with 95 % intervals")
    for name, way in found.items():
        rates, costs = zip(*measured[name], strict=True)
        print(f"{name:22} {interval(rates)} calls/s, {interval([cost * 1e6 for cost in costs])} us of processor each")
        if way.beside:
            others = measured[way.beside]
            rate = [mine[0] / other[0] for mine, other in zip(measured[name], others, strict=True)]
            cost = [mine[1] / other[1] for mine, other in zip(measured[name], others, strict=True)]
            print(f"{'':22} {interval(rate)} of the calls/s of {way.beside}, {interval(cost)} of its processor time")


if __name__ == "__main__":
    chosen = Path(sys.argv[1]) if len(sys.argv) > 1 else demo_bundle().parent / "sentiment"
    main(chosen, int(sys.argv[2]) if len(sys.argv) > 2 else ROUNDS)
