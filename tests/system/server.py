"""A real server process, and what its tests ask of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import grpc
from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import generation_pb2_grpc, models_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

HANGS_S = 300.0
"""After so long a test hangs, however busy the machine."""
PATIENT = ("--drain-timeout-s", 100 * HANGS_S)
"""A server that would wait for its calls for ever leaves only because there is nothing to wait for."""
REPOSITORY = Path(__file__).parents[2]


class ServerProcess:
    """``attendant serve`` (or another script that ends in it) on free ports of the loopback, once it serves."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self._log = log
        self.output: list[str] = []
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._ready.wait(HANGS_S) or process.poll() is not None:
            process.kill()
            raise AssertionError(f"the server did not start:\n{self.log()}")
        self.grpc = self._find(r'gRPC on ([^\s"]+)')
        self.http = self._find(r'metrics on (https?://[^\s"]+)/metrics')
        self.channel = grpc.insecure_channel(self.grpc)
        self.generation = generation_pb2_grpc.GenerationStub(self.channel)
        self.models = models_pb2_grpc.ModelsStub(self.channel)
        self.tokenizer = models_pb2_grpc.TokenizerStub(self.channel)
        self.health: Any = health_pb2_grpc.HealthStub(self.channel)

    def log(self) -> str:
        """Standard error so far."""
        return self._log.read_text(encoding="utf-8")

    def metrics(self) -> dict[str, float]:
        """Samples by name; those of labels other than the model's as ``name{label=value}``."""
        page = self.page()
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                labels = {k: v for k, v in sample.labels.items() if k != "model_name"}
                suffix = "{" + ",".join(f"{k}={v}" for k, v in labels.items()) + "}" if labels else ""
                name = sample.name.removeprefix("attendant_") + suffix
                found[name] = found.get(name, 0.0) + sample.value
        return found

    def page(self) -> str:
        """The page that Prometheus reads."""
        page: bytes = urlopen(f"{self.http}/metrics", timeout=60).read()
        return page.decode()

    def healthz(self, path: str = "/healthz") -> int:
        """HTTP status of a page that says whether the server is well."""
        try:
            return int(urlopen(f"{self.http}{path}", timeout=60).status)
        except HTTPError as error:
            return error.code

    def serving(self, service: str = "") -> bool:
        """What grpc.health.v1 says."""
        response = self.health.Check(health_pb2.HealthCheckRequest(service=service), timeout=60)
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)

    def arrived(self) -> float:
        """Sequences that came in so far: those that wait, that run, and that ended."""
        found = self.metrics()
        ended = sum(value for name, value in found.items() if name.startswith("request_success_total{"))
        return found["num_requests_running"] + found["num_requests_waiting"] + ended

    def is_idle(self) -> bool:
        """Nothing runs, waits or holds KV memory."""
        found = self.metrics()
        return not any(found[name] for name in ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"))

    def terminate(self, number: int = signal.SIGTERM) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def wait(self, timeout_s: float = HANGS_S) -> int:
        """The exit code."""
        return self.process.wait(timeout_s)

    def close(self) -> None:
        """End the process, whatever it does."""
        self.channel.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            for line in stream:
                self.output.append(line)
                if "metrics on" in line:
                    self._ready.set()
        self._ready.set()

    def _find(self, pattern: str) -> str:
        match = re.search(pattern, "".join(self.output))
        assert match is not None, self.log()
        return match[1]


@contextmanager
def serving(
    log: Path,
    *arguments: object,
    command: tuple[str, ...] = ("-m", "attendant", "serve"),
    ports: tuple[object, object] = (0, 0),
) -> Iterator[ServerProcess]:
    """Start a server with these arguments, and end it afterwards. ``log`` takes its standard error; ``ports``: of gRPC
    and HTTP."""
    words = [sys.executable, *command, *map(str, arguments)]
    words += ["--grpc.port", str(ports[0]), "--http.port", str(ports[1])]
    with log.open("w") as errors:
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment())
    server = ServerProcess(process, log)
    try:
        yield server
    finally:
        server.close()


def attendant(*arguments: object, stdin: str = "", timeout_s: float = HANGS_S) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(
        [sys.executable, "-m", "attendant", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=environment(),
        check=False,
    )


def environment() -> dict[str, str]:
    """This process's, without settings that the machine may have for a server."""
    return {key: value for key, value in os.environ.items() if not key.startswith("ATTENDANT_")}


def eventually(condition: Callable[[], bool]) -> None:
    """Wait for what comes sooner or later. The limit is for a test that hangs."""
    deadline = time.monotonic() + HANGS_S
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.02)


def request(text: str = "hello", max_tokens: int = 8, **fields: Any) -> pb.GenerateRequest:
    """A plain request."""
    return pb.GenerateRequest(text=text, stopping=pb.Stopping(max_tokens=max_tokens), **fields)


def tokens_of(responses: Iterable[pb.GenerateResponse]) -> list[int]:
    """All token ids, however they were spread over messages."""
    return [token for response in responses for token in response.token_ids]


LONG = 8000
"""max_tokens of a request that runs for many seconds on the slow bundle."""
