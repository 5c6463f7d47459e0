"""Calls of every protocol to a real server, and the lines that it writes of them."""

from __future__ import annotations

import json
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.system.server import ServerProcess, eventually

REQUESTS = "attendant.requests"


def lines(server: ServerProcess) -> list[dict[str, Any]]:
    """All that it has written so far; each line is an object."""
    whole = server.log().rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


def lines_of(server: ServerProcess, request_id: str, count: int = 1) -> list[dict[str, Any]]:
    """The lines of a request, once there are so many."""

    def found() -> list[dict[str, Any]]:
        return [line for line in lines(server) if line["logger"] == REQUESTS and line["request_id"] == request_id]

    eventually(lambda: len(found()) >= count)
    told = found()
    assert len(told) == count
    return told


def line_of(server: ServerProcess, request_id: str) -> dict[str, Any]:
    """The line of a request."""
    (line,) = lines_of(server, request_id)
    assert line["total_ms"] > 0
    assert line.get("queue_ms", 0) <= line.get("first_token_ms", line["total_ms"]) <= line["total_ms"]
    return line


def named(request_id: str, **more: str) -> tuple[tuple[str, str], ...]:
    """Metadata of a call with this id."""
    return (("x-request-id", request_id), *more.items())


def post(server: ServerProcess, path: str, body: Any, request_id: str, **headers: str) -> tuple[int, bytes]:
    """Status and body of an answer over HTTP."""
    told = {"content-type": "application/json", "x-request-id": request_id, **headers}
    try:
        with urlopen(Request(f"{server.http}{path}", json.dumps(body).encode(), told), timeout=300) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        return error.code, error.read()


def picked(line: dict[str, Any], *names: str) -> tuple[Any, ...]:
    """Fields of a line; None for one that is not there."""
    return tuple([line.get(name) for name in names])
