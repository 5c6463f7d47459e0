"""`python -m tests.http.api.openinference.speed [BUNDLE] [ROUNDS]`: what a call on an encoder costs over HTTP, beside
the same call of the gRPC half of the protocol.

As :mod:`tests.rpc.openinference.speed` measures: windows of each kind take turns in random order, and each is compared
with the one over gRPC of its own round. Callers over HTTP have a connection each, write bytes that were made once, and
look at nothing but the length of an answer.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
import time
from pathlib import Path

import grpc.aio
import numpy as np
import psutil
from attendant.bundle import read_any_manifest
from attendant.demo import demo_bundle
from tokenizers import Tokenizer

from tests.http.api.openinference.helpers import in_binary, in_json
from tests.rpc.openinference.helpers import tensor
from tests.rpc.openinference.speed import CALLERS, ROUNDS, TEXT, WARM_UP_S, WINDOW_S, interval, ways, window
from tests.system.server import serving

Measured = tuple[float, float]


def requests(bundle: Path) -> dict[str, tuple[bytes, str]]:
    """Whole requests by what they are, and the call over gRPC that each is compared with."""
    name = read_any_manifest(bundle).name
    ids = Tokenizer.from_file(str(bundle / "tokenizer.json")).encode(TEXT).ids
    text = [tensor("text", [TEXT], "BYTES")]
    tokens = [
        tensor("input_ids", np.array([ids]), "INT64"),
        tensor("attention_mask", np.ones((1, len(ids)), np.int64), "INT64"),
    ]

    def whole(body: bytes, headers: dict[str, str]) -> bytes:
        said = {"host": "here", "content-length": str(len(body)), **headers}
        lines = [f"POST /v2/models/{name}/infer HTTP/1.1", *(f"{key}: {value}" for key, value in said.items())]
        return "\r\n".join([*lines, "", ""]).encode() + body

    raw = {"parameters": {"binary_data_output": True}}
    return {
        "HTTP, text, JSON": (whole(json.dumps(in_json(*text)).encode(), {}), "infer, text, not raw"),
        "HTTP, text, binary": (whole(*in_binary(*text, **raw)), "infer, text"),
        "HTTP, tokens, JSON": (whole(json.dumps(in_json(*tokens)).encode(), {}), "infer, tokens"),
        "HTTP, tokens, binary": (whole(*in_binary(*tokens, **raw)), "infer, tokens"),
    }


async def window_of_http(address: str, request: bytes, server: psutil.Process) -> Measured:
    """Calls a second, and seconds of the server's processor time for a call."""
    number = 0
    connections = [await asyncio.open_connection(*address.split(":")) for _ in range(CALLERS)]

    async def ask(place: int, until: float) -> None:
        nonlocal number
        reader, writer = connections[place]
        while time.monotonic() < until:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert head.startswith(b"http/1.1 200"), head
            length = head.partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
            number += 1

    async def ask_together(seconds: float) -> None:
        until = time.monotonic() + seconds
        await asyncio.gather(*(ask(place, until) for place in range(CALLERS)))

    await ask_together(WARM_UP_S)
    number, began, before = 0, time.monotonic(), server.cpu_times()
    await ask_together(WINDOW_S)
    after, took_s = server.cpu_times(), time.monotonic() - began
    for _, writer in connections:
        writer.close()
    used_s = after.user + after.system - before.user - before.system
    return number / took_s, used_s / number


async def measure(grpc_address: str, http: str, pid: int, bundle: Path, rounds: int) -> dict[str, list[Measured]]:
    server, over_http = psutil.Process(pid), requests(bundle)
    over_grpc = {name: way for name, way in ways(bundle).items() if name.startswith("infer")}
    measured: dict[str, list[Measured]] = {name: [] for name in (*over_grpc, *over_http)}
    async with grpc.aio.insecure_channel(grpc_address) as channel:
        for _ in range(rounds):
            for name in random.sample(list(measured), len(measured)):
                if name in over_grpc:
                    measured[name].append(await window(channel, over_grpc[name], server))
                else:
                    measured[name].append(await window_of_http(http, over_http[name][0], server))
    return measured


def main(bundle: Path, rounds: int) -> None:
    flags = "--no-verify-bundles", "--encoder.threads", 1, "--no-encoder.spinning"
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "log", bundle, *flags) as server:
        http = server.http.removeprefix("http://")
        measured = asyncio.run(measure(server.grpc, http, server.process.pid, bundle, rounds))
    print(f"{bundle.name}, {CALLERS} callers, {rounds} rounds of {WINDOW_S:g} s; medians with 95 % intervals")
    for name, (_, beside) in requests(bundle).items():
        rates, costs = zip(*measured[name], strict=True)
        print(f"{name:22} {interval(rates)} calls/s, {interval([cost * 1e6 for cost in costs])} us of processor each")
        pairs = list(zip(measured[name], measured[beside], strict=True))
        rate, cost = [mine[0] / other[0] for mine, other in pairs], [mine[1] / other[1] for mine, other in pairs]
        print(f"{'':22} {interval(rate)} of the calls/s of {beside} over gRPC, {interval(cost)} of its processor time")


if __name__ == "__main__":
    chosen = Path(sys.argv[1]) if len(sys.argv) > 1 else demo_bundle().parent / "sentiment"
    main(chosen, int(sys.argv[2]) if len(sys.argv) > 2 else ROUNDS)
