"""Calls over HTTP in a real server: drained as gRPC's are, counted as they are, freed when their callers go."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.system.server import HANGS_S, PATIENT, ServerProcess, eventually, request, serving, tokens_of

PATH = "/v1/completions"
LONG = 8000


def connect(server: ServerProcess) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(server.http.removeprefix("http://"), timeout=HANGS_S)


@contextmanager
def asked(server: ServerProcess, **body: Any) -> Iterator[http.client.HTTPConnection]:
    """A connection on which a call is under way; closing it hangs up."""
    connection = connect(server)
    said = json.dumps({"model": "slow", "prompt": "hello", "max_tokens": LONG, **body})
    connection.request("POST", PATH, said, {"content-type": "application/json"})
    try:
        yield connection
    finally:
        connection.close()


def answer(server: ServerProcess, **body: Any) -> tuple[int, dict[str, str], Any]:
    with asked(server, **body) as connection:
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, json.loads(response.read())


def status(server: ServerProcess, path: str) -> int:
    connection = connect(server)
    connection.request("GET", path)
    found = connection.getresponse().status
    connection.close()
    return found


def test_a_server_that_drains_ends_its_streams_and_takes_no_more(slow: Path, tmp_path: Path) -> None:
    arguments = (slow, "--engine.max-num-seqs", 2, *PATIENT)
    with serving(tmp_path / "log", *arguments) as server:
        assert status(server, "/health") == 200
        options = {"include_usage": True}
        with asked(server, stream=True, max_tokens=300, stream_options=options) as connection, asked(server) as other:
            stream = connection.getresponse()
            assert stream.readline().startswith(b'data: {"id":"cmpl-')
            eventually(lambda: server.metrics()["num_requests_running"] == 2)
            server.terminate()
            eventually(lambda: server.healthz() == 503)
            assert status(server, "/health") == 503
            code, headers, told = answer(server, max_tokens=1)
            assert (code, headers["retry-after"], told["error"]["type"]) == (503, "1", "server_error")
            other.close()  # it would last
            events = stream.read().decode().split("\n\n")
            assert events[-2:] == ["data: [DONE]", ""]
            assert json.loads(events[-3].removeprefix("data: "))["usage"]["completion_tokens"] == 300
            assert server.wait() == 0
    assert "Traceback" not in server.log()


def test_a_server_that_drains_too_long_tells_its_streams(slow: Path, tmp_path: Path) -> None:
    with (
        serving(tmp_path / "log", slow, "--drain-timeout-s", 0.1) as server,
        asked(server, stream=True) as connection,
        asked(server) as whole,
    ):
        stream = connection.getresponse()
        stream.readline()
        eventually(lambda: server.metrics()["num_requests_running"] == 2)
        server.terminate()
        *_, last, empty = stream.read().decode().split("\n\n")
        assert empty == ""
        assert json.loads(last.removeprefix("data: "))["error"]["type"] == "server_error"
        response = whole.getresponse()
        assert (response.status, response.headers["retry-after"]) == (503, "1")
        assert server.wait() == 0


def test_calls_are_counted_and_freed_as_those_of_grpc(slow: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", slow, "--engine.max-num-seqs", 2, "--engine.max-queue", 2, *PATIENT) as server:
        by_grpc = tokens_of(server.generation.Generate(request("hello", 5)))
        code, headers, told = answer(server, max_tokens=5, return_token_ids=True)
        assert (code, told["choices"][0]["token_ids"]) == (200, by_grpc)
        assert headers["x-request-id"]
        found = server.metrics()
        assert found["request_success_total{finished_reason=length}"] == 2
        assert found["generation_tokens_total"] == 10

        calls: list[dict[str, Any]] = [{}, {"stream": True}, {"n": 2}, {"n": 2, "stream": True}]
        for body in calls:
            with asked(server, **body):
                eventually(lambda: server.metrics()["num_requests_running"] > 0)
            eventually(server.is_idle)

        with asked(server), asked(server):
            eventually(lambda: server.metrics()["num_requests_running"] == 2)
            with asked(server), asked(server, stream=True):
                eventually(lambda: server.metrics()["num_requests_waiting"] == 2)
                code, headers, told = answer(server)
                assert (code, told["error"]["code"]) == (429, "rate_limit_exceeded")
                assert int(headers["retry-after"]) >= 1
            eventually(lambda: server.metrics()["num_requests_waiting"] == 0)
            assert server.metrics()["num_requests_running"] == 2
        eventually(server.is_idle)


def test_a_reader_that_does_not_read_holds_up_nobody(slow: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", slow, "--engine.max-num-seqs", 2, *PATIENT) as server:
        connection = connect(server)
        said = json.dumps({"model": "slow", "prompt": "hello", "max_tokens": 100, "stream": True, "logprobs": 5})
        connection.request("POST", PATH, said, {"content-type": "application/json"})
        eventually(lambda: server.metrics()["num_requests_running"] == 1)
        assert answer(server, max_tokens=5)[0] == 200
        eventually(server.is_idle)  # it is generated to its end, whoever reads
        events = connection.getresponse().read().decode().split("\n\n")
        connection.close()
        assert events[-2] == "data: [DONE]"
        told = [json.loads(event.removeprefix("data: "))["choices"][0] for event in events[:-2]]
        assert sum(len(choice["logprobs"]["tokens"]) for choice in told) > 80
