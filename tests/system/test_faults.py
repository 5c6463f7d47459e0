"""What goes wrong around a server: clients that vanish by the hundred, and a machine that has nothing more to give.

Each ends in errors that say what is the matter; afterwards the server holds what it held before, and serves.
"""

from __future__ import annotations

import json
import resource
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import grpc
import pytest
from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import generation_pb2_grpc

from tests.system.leaks import nothing_leaks
from tests.system.server import (
    HANGS_S,
    LONG,
    PATIENT,
    ServerProcess,
    environment,
    eventually,
    request,
    serving,
    tokens_of,
)

HUNDRED = """
import sys
import time
import grpc
from attendant_proto.v1 import generation_pb2 as pb, generation_pb2_grpc

options = [("grpc.use_local_subchannel_pool", 1)]
calls = []
for number in range(100):
    channel = grpc.insecure_channel(sys.argv[1], options)
    message = pb.GenerateRequest(model="slow", text="hello", stopping=pb.Stopping(max_tokens=int(sys.argv[2])))
    calls.append(generation_pb2_grpc.GenerationStub(channel).Generate(message))
print("asked", flush=True)
time.sleep(3600)
"""
ONCE = ("--engine.max-num-seqs", 4, "--engine.max-queue", 400, "--engine.threads", 1, "--no-engine.spinning", *PATIENT)
NOWHERE = "http://nowhere.invalid:4317"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is wrong with the machine; see `tests/system/failing_machine.py`."""
    return tmp_path_factory.mktemp("machine")


@pytest.fixture(scope="module")
def server(slow: Path, machine: Path) -> Iterator[ServerProcess]:
    """A server that records its calls, and sends traces to a name that nobody knows."""
    flags = (
        "--no-admission.predict",  # deadlines are to end calls that were let in
        "--record.file",
        machine / "calls.jsonl",
        "--traces.enabled",
        "--traces.endpoint",
        NOWHERE,
    )
    command = ("-m", "tests.system.failing_machine", str(machine))
    with serving(machine / "log", slow, "--demo", *ONCE, *flags, command=command) as running:
        yield running


@pytest.fixture(autouse=True)
def _as_before(server: ServerProcess) -> Iterator[None]:
    """Every test ends with a server that holds nothing more, and gives the very answer that it gave before."""
    expected = tokens_of(server.generation.Generate(request("hello", 12, model="slow")))
    assert ask_http(server) == 200
    with nothing_leaks(server):
        yield
    assert tokens_of(server.generation.Generate(request("hello", 12, model="slow"), timeout=HANGS_S)) == expected
    assert ask_http(server) == 200
    assert server.healthz() == 200


def ask_http(server: ServerProcess, **fields: object) -> int:
    """Status of a completion."""
    body = json.dumps({"model": "slow", "prompt": "hello", "max_tokens": 2, **fields}).encode()
    try:
        call = Request(f"{server.http}/v1/completions", body, {"content-type": "application/json"})
        return int(urlopen(call, timeout=HANGS_S).status)
    except HTTPError as error:
        return error.code


@contextmanager
def limited(server: ServerProcess, kind: int, most: int) -> Iterator[None]:
    """A limit of the system on the server's process, and none afterwards."""
    before = resource.prlimit(server.process.pid, kind)
    resource.prlimit(server.process.pid, kind, (most, before[1]))
    yield
    resource.prlimit(server.process.pid, kind, before)


def connected(server: ServerProcess) -> socket.socket:
    """A connection to the HTTP port."""
    host, _, port = server.http.removeprefix("http://").rpartition(":")
    return socket.create_connection((host, int(port)), timeout=HANGS_S)


def test_a_hundred_clients_that_are_killed_at_once(server: ServerProcess) -> None:
    before = server.arrived()
    words = [sys.executable, "-c", HUNDRED, server.grpc, str(LONG)]
    client = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment())
    eventually(lambda: server.arrived() >= before + 100)
    client.kill()
    client.communicate()
    eventually(server.is_idle)


def test_a_hundred_connections_that_are_reset_in_the_middle(server: ServerProcess) -> None:
    before = server.arrived()
    body = json.dumps({"model": "slow", "prompt": "hello", "max_tokens": LONG, "stream": True}).encode()
    head = b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    head += b"content-length: %d\r\n\r\n"
    connections = [connected(server) for _ in range(100)]
    for connection in connections:
        connection.sendall(head % len(body) + body)
    eventually(lambda: server.arrived() >= before + 100)
    for connection in connections:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()  # with a reset, and no farewell
    eventually(server.is_idle)


def test_readers_that_stop_reading_cost_no_memory_and_hold_up_nobody(server: ServerProcess) -> None:
    """A whole long answer with the probabilities of every token waits for each; another caller streams on."""
    options = [("grpc.http2.lookahead_bytes", 1024), ("grpc.use_local_subchannel_pool", 1)]
    with ExitStack() as stack:
        for _ in range(3):
            channel = stack.enter_context(grpc.insecure_channel(server.grpc, options))
            call = generation_pb2_grpc.GenerationStub(channel).Generate(
                request("hello", LONG, logprobs=20, model="slow")
            )
            next(call)
            stack.callback(call.cancel)
        assert len(tokens_of(server.generation.Generate(request("hello", 100, model="slow")))) == 100
    eventually(server.is_idle)


def test_a_full_disk_costs_the_recording_and_no_call(server: ServerProcess, machine: Path) -> None:
    size = (machine / "calls.jsonl").stat().st_size if (machine / "calls.jsonl").exists() else 0
    with limited(server, resource.RLIMIT_FSIZE, max(size, (machine / "log").stat().st_size) + 2000):

        def is_full() -> bool:
            """The recording may be much shorter than the log, which the limit leaves some room, too."""
            text = "a b c d " * 100
            assert len(tokens_of(server.generation.Generate(request(text, 4, model="slow"), timeout=HANGS_S))) == 4
            return server.metrics().get("recorded_calls_total{outcome=failed}", 0) > 0

        eventually(is_full)


def test_no_more_file_descriptors(server: ServerProcess) -> None:
    held = len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))
    length = len(server.log())
    with limited(server, resource.RLIMIT_NOFILE, held + 20), ExitStack() as stack:
        for _ in range(100):  # the system takes them in; the server cannot
            connection = stack.enter_context(connected(server))
            connection.settimeout(0.01)
        assert len(tokens_of(server.generation.Generate(request("hello", 8, model="slow")))) == 8, "on what it has"
        channel = stack.enter_context(grpc.insecure_channel(server.grpc, [("grpc.use_local_subchannel_pool", 1)]))
        stub = generation_pb2_grpc.GenerationStub(channel)
        with suppress(grpc.RpcError):  # it may wait, or be told
            list(stub.Generate(request("hello", 2, model="slow"), timeout=1))
        eventually(lambda: "HTTP takes no connection in" in server.log()[length:])
    assert "Traceback" not in server.log()[length:], "it is said once, and then how often"


def test_no_more_threads(server: ServerProcess, machine: Path) -> None:
    (machine / "threads").touch()
    refused = []
    try:
        schema = pb.Grammar(json_schema='{"type": "object"}')
        for number in range(4):
            grammar = pb.Grammar(regex=f"[a-z]{{{number + 1}}}") if number else schema
            try:
                list(server.generation.Generate(request("hello", 4, model="demo", grammar=grammar), timeout=HANGS_S))
            except grpc.RpcError as error:
                refused.append((error.code(), error.details()))
        assert len(tokens_of(server.generation.Generate(request("hello", 8, model="slow")))) == 8
    finally:
        (machine / "threads").unlink()
    assert {code for code, _ in refused} <= {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert all("no more threads" in words for _, words in refused)
    assert refused, "grammars are compiled in threads"
    grammar = pb.Grammar(regex="[a-z]+")
    assert list(server.generation.Generate(request("hello", 4, model="demo", grammar=grammar), timeout=HANGS_S))


def test_memory_that_does_not_reach(server: ServerProcess) -> None:
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[0])
    seen, told = set(), []
    with limited(server, resource.RLIMIT_AS, pages * resource.getpagesize() + (24 << 20)):
        for text in ("x" * 12_000_000, "word " * 1_000_000, "hello"):
            try:
                list(server.generation.Generate(request(text, 4, model="slow"), timeout=HANGS_S))
                seen.add("OK")
            except grpc.RpcError as error:
                seen.add(error.code().name)
                told.append(error.details())
    assert all(told), "each says what was the matter"
    assert seen <= {"OK", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"}
    assert "OK" in seen, "a small one fits"


@pytest.mark.parametrize("seconds", [-86_400.0, 86_400.0])
def test_a_clock_that_jumps_ends_no_call_and_no_deadline(server: ServerProcess, machine: Path, seconds: float) -> None:
    with suppress(FileNotFoundError):
        (machine / "clock").unlink()
    call = server.generation.Generate(request("hello", LONG, model="slow"), timeout=HANGS_S)
    next(call)
    (machine / "clock.new").write_text(str(seconds))
    (machine / "clock.new").rename(machine / "clock")  # at once: the server may look in between
    try:
        for _ in range(20):
            next(call)
        call.cancel()
        with pytest.raises(grpc.RpcError) as caught:
            list(server.generation.Generate(request("hello", LONG, model="slow"), timeout=0.5))
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        eventually(server.is_idle)
    finally:
        (machine / "clock").unlink()


def test_a_name_that_nobody_knows_costs_its_traces(server: ServerProcess) -> None:
    assert len(tokens_of(server.generation.Generate(request("hello", 4, model="slow")))) == 4
    eventually(lambda: server.metrics().get("trace_spans_total{outcome=failed}", 0) > 0)
