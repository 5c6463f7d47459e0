"""infinity-emb over HTTP, installed into an environment of its own, with the model that our bundle was exported from.

nvidia-pytriton brings no backend for ONNX files, only Triton's for Python, so there is nothing of its own to compare.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from attendant_loadtest.bench.encoders_measurement import Encoded
from attendant_loadtest.bench.environments import PeerFailed, install
from attendant_loadtest.bench.processes import wait_or_kill

PACKAGE = "infinity-emb[server,torch]"
_START_S = 180.0


class Infinity:
    """A running server of infinity-emb. Make one with :func:`infinity`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, model: str) -> None:
        self._process = process
        self._port = port
        self._model = model

    @property
    def pid(self) -> int:
        """The id of the server's process."""
        return self._process.pid

    def measure(self, texts: Sequence[str], clients: int) -> Encoded:
        """One call for each text, ``clients`` at a time, each client on a connection of its own."""
        calls = iter(texts)
        started = time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            found = list(pool.map(lambda _: self._client(calls), range(clients)))
        latencies = [latency for part, _ in found for latency in part]
        tokens = sum(count for _, count in found)
        return Encoded(len(latencies), tokens, time.perf_counter() - started, latencies)

    def _client(self, calls: Iterator[str]) -> tuple[list[float], int]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_START_S)
        latencies, tokens = [], 0
        for text in calls:
            before = time.perf_counter()
            body = json.dumps({"model": self._model, "input": [text]})
            connection.request("POST", "/embeddings", body, {"content-type": "application/json"})
            answer = json.loads(connection.getresponse().read())
            latencies.append((time.perf_counter() - before) * 1e3)
            tokens += answer["usage"]["total_tokens"]
        connection.close()
        return latencies, tokens


@contextmanager
def infinity(source: Path, environment: Path) -> Iterator[Infinity]:
    """Serve the model folder ``source`` on a free port of the loopback; installs first if ``environment`` is not there.

    Raises:
        PeerFailed: with the end of its log.
    """
    install(environment, (("torch==2.13.0",), (PACKAGE,)), "bin/infinity_emb")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = environment / "server.log"
    command = [str(environment / "bin" / "infinity_emb"), "v2", "--model-id", str(source.resolve())]
    command += ["--served-model-name", source.name, "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32"]
    command += ["--engine", "torch", "--device", "cpu", "--no-bettertransformer", "--no-compile"]
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, env=offline) as process:
        try:
            _wait(process, port, log)
            yield Infinity(process, port, source.name)
        finally:
            process.terminate()
            wait_or_kill(process)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/models")
            if connection.getresponse().status == http.HTTPStatus.OK:
                return
        except (OSError, http.client.HTTPException):
            time.sleep(0.5)
        finally:
            connection.close()
    raise PeerFailed(f"infinity-emb did not start: {log.read_text(errors='replace').strip()[-500:]}")
