"""A real server whose engines have processes of their own, and what a crash of one costs."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
from attendant_proto.v1 import generation_pb2 as pb

from tests.synthetic import make_slow_bundle
from tests.system.server import HANGS_S, LONG, ServerProcess, eventually, request, serving, tokens_of

SHORT = 40


def engine_pid(server: ServerProcess, model: str) -> int:
    """The latest process of a model's engine, as the log has it."""
    return int(re.findall(rf"{model}: its engine is process (\d+)", server.log())[-1])


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


class Reader:
    """Reads a stream on a thread; what came of it, and how it ended."""

    def __init__(self, stream: Iterator[pb.GenerateResponse]) -> None:
        self.tokens: list[int] = []
        self.code: grpc.StatusCode | None = None
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream: Iterator[pb.GenerateResponse]) -> None:
        try:
            for response in stream:
                self.tokens += response.token_ids
        except grpc.RpcError as error:
            self.code = error.code()

    def end(self) -> grpc.StatusCode | None:
        self._thread.join(HANGS_S)
        assert not self._thread.is_alive()
        return self.code


def test_a_crash_ends_the_requests_of_its_engine_and_nothing_else(tmp_path: Path) -> None:
    bundles = [make_slow_bundle(tmp_path / name, name=name) for name in ("left", "right")]
    quick = ("--lifecycle.restart-backoff-s", 0, "--engine.threads", 1, "--engine.process")
    with serving(tmp_path / "log", *bundles, *quick) as server:
        children = {name: engine_pid(server, name) for name in ("left", "right")}
        alone = tokens_of(server.generation.Generate(request("hello", SHORT, model="left")))
        struck = [Reader(server.generation.Generate(request("hello", LONG, model="left"))) for _ in range(3)]
        other_alone = tokens_of(server.generation.Generate(request("hello", SHORT, model="right")))
        going_on = server.generation.Generate(request("hello", LONG, model="right"))
        other = Reader(going_on)
        eventually(lambda: all(reader.tokens for reader in (*struck, other)))
        os.kill(children["left"], signal.SIGSEGV)
        assert [reader.end() for reader in struck] == [grpc.StatusCode.UNAVAILABLE] * 3

        eventually(lambda: len(set(re.findall(r"left: its engine is process (\d+)", server.log()))) == 2)
        eventually(lambda: server.serving("left"))
        assert tokens_of(server.generation.Generate(request("hello", SHORT, model="left"))) == alone
        so_far = len(other.tokens)
        eventually(lambda: len(other.tokens) > max(so_far, SHORT))
        going_on.cancel()
        assert other.end() is grpc.StatusCode.CANCELLED
        assert other.tokens[:SHORT] == other_alone
        assert engine_pid(server, "right") == children["right"]
        assert not exists(children["left"])
        assert "the process of left was ended by SIGSEGV" in server.log()
        assert server.metrics()["request_failure_total{error=engine_dead}"] == 3

        children = {name: engine_pid(server, name) for name in ("left", "right")}
        assert server.metrics()["engine_process_memory_bytes"] > 2 * 10_000_000
        draining = Reader(server.generation.Generate(request("hello", 2 * SHORT, model="left")))
        eventually(lambda: bool(draining.tokens))
        for pid in (server.process.pid, *children.values()):  # as systemd does it
            os.kill(pid, signal.SIGTERM)
        assert draining.end() is None
        assert len(draining.tokens) == 2 * SHORT
        assert server.wait() == 0
        assert not any(map(exists, children.values()))


def test_no_engine_outlives_a_server_that_is_killed(fast: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", fast, "--engine.process") as server:
        (pid,) = map(int, re.findall(r"its engine is process (\d+)", server.log()))
        assert exists(pid)
        server.terminate(signal.SIGKILL)
        server.wait()
        eventually(lambda: not exists(pid))
