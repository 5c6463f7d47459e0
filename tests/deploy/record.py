"""`python -m tests.deploy.record [SECONDS]` draws the dashboards of the demo server under load into docs/assets/."""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
from attendant_proto.v1 import encoding_pb2, encoding_pb2_grpc

from deploy.files import HERE
from deploy.grafana import dashboards
from tests.deploy.picture import Line, draw, legend_of
from tests.deploy.prometheus import PrometheusProcess, watching
from tests.system.server import REPOSITORY, ServerProcess, eventually, request, serving, tokens_of

ASSETS = REPOSITORY / "docs" / "assets" / "dashboards"
RULES = HERE / "prometheus" / "attendant.rules.yaml"
FILLED = {"$__rate_interval": "10s", "$job": ".*", "$model": ".*", "$instance": ".*", "$node": ".*"}
LAST = {"attendant-hardware": "Server processes", "attendant-model": "Batches, if it encodes"}
"""Rows after which there is nothing to draw: no exporter of hardware runs here, and nobody speaks."""
ROUTES = """
routes:
  assistant: {kind: canary, targets: [{model: demo, weight: 9}, {model: other}]}
  other: {kind: alias, model: demo}
  mood: {kind: shadow, model: sentiment, shadow: moods, share: 0.5}
  moods: {kind: mean, members: [{model: sentiment, weight: 2}, {model: again}]}
  again: {kind: alias, model: sentiment}
"""
WAVES = (1, 6, 2, 12, 4)
"""How many callers there are, one after the other."""


def main(seconds: float = 60.0) -> int:
    """Record for so many seconds, then draw."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        objectives = "ttft 1s p99, itl 100ms p99, latency 50ms p99"
        (folder / "routes.yaml").write_text(ROUTES, encoding="utf-8")
        flags = ("--demo", "--engine.max-num-seqs", 8, "--engine.max-queue", 2, "--slo.objectives", objectives)
        routes = ("--routes", folder / "routes.yaml")
        with serving(folder / "log", *flags, *routes) as server, watching(server.http[7:], RULES, folder) as prometheus:
            eventually(lambda: bool(prometheus.query("attendant_model_ready")))
            start = time.time()
            _load(server, seconds)
            for uid, board in dashboards().items():
                ASSETS.mkdir(parents=True, exist_ok=True)
                picture = draw(board, asking(prometheus, start, time.time()), LAST.get(uid, ""))
                (ASSETS / f"{uid}.svg").write_text(picture, encoding="utf-8")
                print(f"wrote docs/assets/dashboards/{uid}.svg")
    return 0


def asking(prometheus: PrometheusProcess, start: float, end: float) -> Callable[[str, str], list[Line]]:
    """Asks for what was recorded between two times of Unix seconds, with Grafana's variables filled in."""

    def ask(query: str, legend: str) -> list[Line]:
        for name, value in FILLED.items():
            query = query.replace(name, value)
        found = prometheus.between(query, start, end, step_s=max((end - start) / 120, 1.0))
        return [
            Line(
                legend_of(legend, series["metric"]),
                series["metric"],
                tuple((float(at), float(value)) for at, value in series["values"]),
            )
            for series in found
        ]

    return ask


def _load(server: ServerProcess, seconds: float) -> None:
    """Waves of callers that generate, and one that classifies."""
    for callers in WAVES:
        end = time.monotonic() + seconds / len(WAVES)
        threads = [threading.Thread(target=_generate, args=(server, end, i)) for i in range(callers)]
        threads.append(threading.Thread(target=_classify, args=(server, end)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def _generate(server: ServerProcess, end: float, number: int) -> None:
    while time.monotonic() < end:
        try:
            asked = request("where is my order", 32 + 8 * (number % 3))
            asked.model = ("", "assistant")[number % 2]
            tokens_of(server.generation.Generate(asked))
        except grpc.RpcError:  # refused: it waits as it is told
            time.sleep(0.2)


def _classify(server: ServerProcess, end: float) -> None:
    stub = encoding_pb2_grpc.EncodingStub(server.channel)
    while time.monotonic() < end:
        inputs = [encoding_pb2.TextInput(text=text) for text in ("a lovely film", "dull and far too long", "fine")]
        for model in ("", "mood"):
            stub.Classify(encoding_pb2.ClassifyRequest(model=model, inputs=inputs), timeout=60)
        time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(main(*map(float, sys.argv[1:])))
