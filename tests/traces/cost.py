"""`python -m tests.traces.cost [BUNDLE]` measures what following calls costs, of the demo server without a bundle."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import grpc
import psutil
from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import models_pb2

from tests.system.server import ServerProcess, serving, tokens_of

STREAMS, REQUESTS, TOKENS, ROUNDS = 8, 24, 48, 9
WAYS = {
    "off": (),
    "ratio 1": ("--traces.ratio", 1),
    "slow only": ("--traces.ratio", 0, "--traces.slow-s", 60),
}
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class _Swallow(grpc.GenericRpcHandler):
    """A collector that reads nothing, so that it takes no processor from the server beside it."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return grpc.unary_unary_rpc_method_handler(lambda request, context: b"") if details.method == EXPORT else None


def main(arguments: Sequence[str]) -> None:
    collector = grpc.server(ThreadPoolExecutor(2), handlers=(_Swallow(),))
    endpoint = f"http://127.0.0.1:{collector.add_insecure_port('127.0.0.1:0')}"
    collector.start()
    bundles = tuple(arguments) or ("--demo",)
    measured: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        servers = {}
        for way, flags in WAYS.items():
            on = ("--traces.enabled", "--traces.endpoint", endpoint, *flags) if flags else ()
            log = Path(folder) / way.replace(" ", "-")
            servers[way] = stack.enter_context(serving(log, *bundles, *on, "--no-engine.spinning"))
            round_of(servers[way])  # warms it
        order = list(WAYS)
        for number in range(ROUNDS):
            for way in order[number % 3 :] + order[: number % 3]:
                measured[way].append(round_of(servers[way]))
    collector.stop(0)
    for way, values in measured.items():
        speeds, costs = zip(*values, strict=True)
        print(f"{way}: {statistics.median(speeds):.1f} tokens/s, {statistics.median(costs):.2f} ms of processor a call")
    for way in list(WAYS)[1:]:
        pairs = list(zip(measured[way], measured["off"], strict=True))
        speed = statistics.median(one[0] / off[0] for one, off in pairs)
        cost = statistics.median(one[1] / off[1] for one, off in pairs)
        print(f"{way} against off, median of {ROUNDS} ratios: tokens/s {speed:.4f}, processor time {cost:.4f}")


def round_of(server: ServerProcess) -> tuple[float, float]:
    """Tokens a second of STREAMS callers, and milliseconds of the server's processor time for each of their calls."""
    models = server.models.ListModels(models_pb2.ListModelsRequest()).models
    name = next(model.name for model in models if "generate" in model.capabilities)
    stopping = pb.Stopping(max_tokens=TOKENS, ignore_eos=True)

    def call(number: int) -> int:
        asked = pb.GenerateRequest(model=name, text=f"{number} A question about an order", stopping=stopping)
        return len(tokens_of(server.generation.Generate(asked, timeout=300)))

    process = psutil.Process(server.process.pid)
    before, begin = process.cpu_times(), time.monotonic()
    with ThreadPoolExecutor(STREAMS) as callers:
        tokens = sum(callers.map(call, range(REQUESTS)))
    took = time.monotonic() - begin
    time.sleep(1.2)  # the last spans leave
    after = process.cpu_times()
    spent = after.user + after.system - before.user - before.system
    return tokens / took, 1000 * spent / REQUESTS


if __name__ == "__main__":
    main(sys.argv[1:])
