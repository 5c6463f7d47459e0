"""What holds for every call to an API, over raw sockets: bodies, limits, other sites, hang-ups, signs of life."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from typing import Any

import pytest
from attendant.core.errors import StepFailed
from attendant.http import server
from attendant.http.api import hearing
from attendant.http.api.answers import Event, Events, in_events, in_one
from attendant.http.api.bodies import LONG_BODY, ApiBody, read_call, read_json
from attendant.http.api.door import Limits
from attendant.http.api.openai.errors import OPENAI
from attendant.http.app import app_of
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.http.loop import HANGS_S, Site

JSON = "content-type: application/json\r\n"


class Body(ApiBody):
    text: str


class Endpoints(Site):
    """``/v1/echo`` says what it was sent; ``/v1/wait`` waits for ever; ``/v1/events`` streams what the test puts;
    ``/v1/thread`` says whether the loop's thread has made a call of the body."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.begun, self.ended = threading.Event(), threading.Event()
        self.gate = threading.Event()
        self.made = 0
        self.events: Callable[[], AsyncGenerator[Event, None]] = self._two
        routes = [
            Route("/v1/echo", self._echo, methods=["POST"]),
            Route("/v1/wait", self._wait, methods=["POST"]),
            Route("/v1/events", self._events, methods=["POST"]),
            Route("/v1/thread", self._thread, methods=["POST"]),
        ]
        super().__init__(app_of(routes, limits=limits))

    async def _echo(self, request: Request) -> Response:
        async def work() -> dict[str, Any]:
            await asyncio.sleep(0)  # who listens for the caller's leaving comes first
            return {"length": len((await read_json(request, Body)).text)}

        return await in_one(request, OPENAI, work)

    async def _thread(self, request: Request) -> Response:
        async def work() -> dict[str, Any]:
            loop = threading.get_ident()
            _, made_in = await read_call(request, Body, lambda body: threading.get_ident())
            return {"of_the_loop": made_in == loop}

        return await in_one(request, OPENAI, work)

    async def _wait(self, request: Request) -> Response:
        async def work() -> dict[str, Any]:
            await read_json(request, Body)
            self.begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.01)  # an end that takes a while is not cut off
                self.ended.set()
            return {}

        return await in_one(request, OPENAI, work)

    async def _events(self, request: Request) -> Response:
        async def work() -> Events:
            await read_json(request, Body)
            return self._kept()

        return await in_events(request, OPENAI, work)

    async def _kept(self) -> Events:
        self.begun.set()
        try:
            async for event in self.events():
                self.made += 1
                yield event
        finally:
            await asyncio.sleep(0.01)
            self.ended.set()

    async def _two(self) -> Events:
        yield Event({"n": 1})
        yield Event("[DONE]")

    @contextmanager
    def connected(self) -> Iterator[socket.socket]:
        host, _, port = self.address.rpartition(":")
        with closing(socket.create_connection((host, int(port)), timeout=HANGS_S)) as connection:
            yield connection

    def talk(self, *sent: bytes, until: bytes = b"") -> bytes:
        """What is heard after ``sent``, to the end of the connection or up to ``until``."""
        with self.connected() as connection:
            for each in sent:
                connection.sendall(each)
            return heard_until(connection, until)


def heard_until(connection: socket.socket, until: bytes) -> bytes:
    heard = b""
    while part := connection.recv(65536):
        heard += part
        if until and heard.endswith(until):
            break
    return heard


def posted(path: str, body: bytes, headers: str = JSON, version: str = "1.1") -> bytes:
    head = f"POST {path} HTTP/{version}\r\nHost: h\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def said(answer: bytes) -> tuple[int, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


TEXT = json.dumps({"text": "hello"}).encode()
END = b"}\n"


@pytest.fixture(scope="module")
def shared() -> Iterator[Endpoints]:
    site = Endpoints(Limits(most_bytes=100_000))
    yield site
    site.close()


@pytest.fixture
def site() -> Iterator[Endpoints]:
    site = Endpoints(Limits(most_bytes=100_000))
    yield site
    site.close()


@pytest.mark.parametrize("size", [10, 20_000, 90_000])
def test_a_body_in_pieces_is_read_whole(shared: Endpoints, size: int) -> None:
    body = json.dumps({"text": "x" * size}).encode()
    request = posted("/v1/echo", body)
    cuts = [0, 30, len(request) - len(body), len(request) - len(body) // 2, len(request)]
    pieces = [request[a:b] for a, b in pairwise(cuts)]
    assert said(shared.talk(*pieces, until=END)) == (200, {"length": size})


def test_a_long_body_becomes_a_call_off_the_loop(shared: Endpoints) -> None:
    for text, of_the_loop in (("x", True), ("x" * LONG_BODY, False)):
        request = posted("/v1/thread", json.dumps({"text": text}).encode())
        assert said(shared.talk(request, until=END)) == (200, {"of_the_loop": of_the_loop})


def test_a_body_in_chunks_is_read_whole(shared: Endpoints) -> None:
    head = f"POST /v1/echo HTTP/1.1\r\nHost: h\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n".encode()
    chunks = [b"%x\r\n%s\r\n" % (len(TEXT[i : i + 4]), TEXT[i : i + 4]) for i in range(0, len(TEXT), 4)]
    assert said(shared.talk(head, *chunks, b"0\r\n\r\n", until=END)) == (200, {"length": 5})


def test_requests_one_behind_the_other_are_answered_in_order(shared: Endpoints) -> None:
    lengths = (3, 1, 4, 1, 5)
    bodies = [json.dumps({"text": "x" * length}).encode() for length in lengths]
    with shared.connected() as connection:
        connection.sendall(b"".join(posted("/v1/echo", body) for body in bodies))
        heard = b""
        while heard.count(END) < len(lengths):
            heard += connection.recv(65536)
    assert [json.loads(part.rpartition(b"\r\n\r\n")[2])["length"] for part in heard.split(b"\n")[:-1] if b"{" in part]
    found = [int(part.partition(b"}")[0]) for part in heard.split(b'{"length":')[1:]]
    assert found == list(lengths)


def test_leave_to_send_a_body_is_given_or_refused_before_it_comes(shared: Endpoints) -> None:
    head = f"POST /v1/echo HTTP/1.1\r\nHost: h\r\n{JSON}Expect: 100-continue\r\nContent-Length: "
    with shared.connected() as connection:
        connection.sendall(f"{head}{len(TEXT)}\r\n\r\n".encode())
        assert heard_until(connection, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(TEXT)
        assert said(heard_until(connection, END)) == (200, {"length": 5})
    refused = shared.talk(f"{head}200000\r\n\r\n".encode())  # and the connection ends
    assert said(refused)[0] == 413


def test_a_body_that_is_too_large_is_refused(shared: Endpoints) -> None:
    status, told = said(shared.talk(posted("/v1/echo", b"x" * 100_001), until=END))
    assert (status, told["error"]["param"]) == (413, "body")
    assert told["error"]["message"] == "body has 100,001 bytes; allowed: at most 100,000"
    head = f"POST /v1/echo HTTP/1.1\r\nHost: h\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n".encode()
    chunk = b"%x\r\n%s\r\n" % (40_000, b"x" * 40_000)
    status, told = said(shared.talk(head, chunk * 3, b"0\r\n\r\n", until=END))
    assert (status, told["error"]["message"]) == (413, "body has more than 100,000 bytes, which is the limit")


def test_a_body_that_does_not_come_is_not_waited_for(shared: Endpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "BODY_S", 0.05)
    status, told = said(shared.talk(posted("/v1/echo", TEXT)[:-1], until=END))
    assert (status, told["error"]["message"]) == (504, "the rest of the body has not come for 0.05 s")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_a_body_that_is_no_json_is_refused(shared: Endpoints, kind: str) -> None:
    status, told = said(shared.talk(posted("/v1/echo", TEXT, f"content-type: {kind}\r\n"), until=END))
    assert (status, told["error"]["param"]) == (415, "content-type")


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip"])
def test_a_compressed_body_is_refused_by_its_coding(shared: Endpoints, coding: str) -> None:
    status, told = said(shared.talk(posted("/v1/echo", TEXT, f"content-encoding: {coding}\r\n"), until=END))
    assert (status, told["error"]["param"]) == (415, "content-encoding")


HOSTILE = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"[" * 50_000,
    b'{"text":' * 10_000,
    b'{"text": "\\ud800"}',
    b'{"text": "\xff\xfe"}',
    b'{"text": NaN}',
    b'{"text": 1e999999}',
    b'{"text": ' + b"9" * 5_000 + b"}",
    b'{"text": "a", "more": 1}',
    b'{"text": "a"} {}',
    b"\x00",
]


@pytest.mark.parametrize("body", HOSTILE, ids=lambda body: repr(body[:24]))
def test_a_hostile_body_is_refused_by_field(shared: Endpoints, body: bytes) -> None:
    status, told = said(shared.talk(posted("/v1/echo", body), until=END))
    assert status == 400
    assert told["error"]["param"]
    assert len(told["error"]["message"]) < 500


def test_a_null_byte_in_a_text_is_a_character(shared: Endpoints) -> None:
    assert said(shared.talk(posted("/v1/echo", b'{"text": "a\\u0000b"}'), until=END)) == (200, {"length": 3})


@pytest.mark.parametrize(
    "headers",
    ["origin: https://elsewhere.org", "origin: null", "sec-fetch-site: cross-site", "sec-fetch-site: same-site"],
)
def test_a_page_of_another_site_is_refused(shared: Endpoints, headers: str) -> None:
    status, told = said(shared.talk(posted("/v1/echo", TEXT, f"{JSON}{headers}\r\n"), until=END))
    assert (status, told["error"]["type"]) == (403, "invalid_request_error")


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:9090", 200), ("127.0.0.1:9090", 200), ("[::1]:9090", 200), ("evil.example.org:9090", 403)],
)
def test_a_page_whose_name_points_here_is_refused(shared: Endpoints, host: str, status: int) -> None:
    """Its calls are of one origin, as browsers see it."""
    head = f"POST /v1/echo HTTP/1.1\r\nHost: {host}\r\n{JSON}Content-Length: {len(TEXT)}\r\n"
    browser = f"origin: http://{host}\r\nsec-fetch-site: same-origin\r\n"
    assert said(shared.talk(f"{head}{browser}\r\n".encode() + TEXT, until=END))[0] == status
    assert said(shared.talk(f"{head}\r\n".encode() + TEXT, until=END))[0] == 200  # a program's


def test_a_page_of_a_site_that_is_let_in_is_answered() -> None:
    site = Endpoints(Limits(origins=("https://chat.example.org",)))
    headers = f"{JSON}origin: https://chat.example.org\r\nsec-fetch-site: cross-site\r\n"
    answer = site.talk(posted("/v1/echo", TEXT, headers), until=END)
    assert said(answer) == (200, {"length": 5})
    assert b"access-control-allow-origin: https://chat.example.org\r\n" in answer
    asked = "access-control-request-method: POST\r\naccess-control-request-headers: authorization\r\n"
    before = site.talk(
        f"OPTIONS /v1/echo HTTP/1.1\r\nHost: h\r\nconnection: close\r\norigin: https://chat.example.org\r\n{asked}\r\n".encode()
    )
    assert before.startswith(b"HTTP/1.1 200")
    others = site.talk(posted("/v1/echo", TEXT, f"{JSON}origin: https://elsewhere.org\r\n"), until=END)
    assert said(others)[0] == 403
    site.close()


def test_who_hangs_up_while_the_answer_is_made_ends_the_work(site: Endpoints) -> None:
    with site.connected() as connection:
        connection.sendall(posted("/v1/wait", TEXT))
        assert site.begun.wait(HANGS_S)
    assert site.ended.wait(HANGS_S)


def test_who_hangs_up_in_the_middle_of_the_body_is_no_failure(
    site: Endpoints, caplog: pytest.LogCaptureFixture
) -> None:
    with site.connected() as connection:
        connection.sendall(posted("/v1/wait", TEXT)[:-3])
    site.stop()
    assert not site.begun.is_set()
    assert not caplog.records


def test_who_hangs_up_with_another_request_behind_ends_the_work(site: Endpoints) -> None:
    with site.connected() as connection:
        connection.sendall(posted("/v1/wait", TEXT) + posted("/v1/echo", TEXT))
        assert site.begun.wait(HANGS_S)
    assert site.ended.wait(HANGS_S)


async def silence() -> Events:
    await asyncio.Event().wait()
    yield Event({})


async def one_and_silence() -> Events:
    yield Event({"n": 1})
    await asyncio.Event().wait()


@pytest.mark.parametrize("keep_alive", ["", "x-keep-alive-s: 3600\r\n"], ids=["plain", "kept alive"])
@pytest.mark.parametrize("events", [silence, one_and_silence])
def test_who_hangs_up_ends_a_stream(site: Endpoints, events: Callable[[], Events], keep_alive: str) -> None:
    site.events = events
    with site.connected() as connection:
        connection.sendall(posted("/v1/events", TEXT, JSON + keep_alive))
        assert site.begun.wait(HANGS_S)
    assert site.ended.wait(HANGS_S)


def test_a_reader_that_does_not_read_makes_the_source_wait(site: Endpoints) -> None:
    kilobyte, most_kilobytes = "x" * 1024, 100_000

    async def endless() -> Events:
        for _ in range(most_kilobytes):
            yield Event({"x": kilobyte})
            await asyncio.sleep(0)

    site.events = endless
    with site.connected() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(posted("/v1/events", TEXT))
        assert site.begun.wait(HANGS_S)
        seen, still = -1, 0
        while still < 20:  # turns of the loop in which nothing was made
            site.loop.run(asyncio.sleep(0.01))
            still = still + 1 if site.made == seen else 0
            seen = site.made
        assert seen < most_kilobytes / 4  # what the kernel's buffers hold, and a little more
    assert site.ended.wait(HANGS_S)


def test_a_reader_that_takes_nothing_for_long_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "GONE_S", 1)
    site = Endpoints(Limits(most_bytes=100_000))

    async def endless() -> Events:
        while True:
            yield Event({"x": "x" * 1024})
            await asyncio.sleep(0)

    site.events = endless
    with site.connected() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(posted("/v1/events", TEXT))
        assert site.ended.wait(HANGS_S), "the connection stands, and the work has ended"
    site.close()


def test_a_quiet_stream_has_comments_if_asked(site: Endpoints) -> None:
    heard_one = asyncio.Event()

    async def slow() -> Events:
        await heard_one.wait()
        yield Event({"n": 1})

    site.events = slow
    with site.connected() as connection:
        connection.sendall(posted("/v1/events", TEXT, f"{JSON}x-keep-alive-s: 1\r\n"))
        heard = heard_until(connection, b": keep-alive\n\n\r\n")
        assert heard.startswith(b"HTTP/1.1 200")
        site.loop.run(_set(heard_one))
        rest = heard_until(connection, b"0\r\n\r\n")
    assert b'data: {"n":1}\n\n' in rest


async def _set(event: asyncio.Event) -> None:
    event.set()


ODD = {"a": "\u2028\x85\n\r\0 \u00e9\U0001f600\ud800", "b": [1.5e-9, -9999.0, 2**70, None, True], "c": {"1": ()}}


def test_an_event_is_one_line_whatever_is_in_it(site: Endpoints) -> None:
    async def odd() -> Events:
        yield Event(ODD)
        yield Event({**ODD, "a": "\u2028\x85"}, "named")

    site.events = odd
    heard = site.talk(posted("/v1/events", TEXT), until=b"0\r\n\r\n").partition(b"\r\n\r\n")[2]
    lines = [line for line in heard.decode("ascii").splitlines() if line.startswith(("data: ", "event: "))]
    assert json.loads(lines[0].removeprefix("data: ")) == json.loads(json.dumps(ODD))
    assert lines[1] == "event: named"
    assert json.loads(lines[2].removeprefix("data: ")) == {**json.loads(json.dumps(ODD)), "a": "\u2028\x85"}


def test_a_stream_that_has_begun_tells_its_error_itself(site: Endpoints) -> None:
    async def fails() -> Events:
        yield Event({"n": 1})
        raise StepFailed("the model run failed")

    site.events = fails
    heard = site.talk(posted("/v1/events", TEXT), until=b"0\r\n\r\n")
    told = json.loads(heard.rpartition(b"data: ")[2].partition(b"\n")[0])
    assert told["error"] == {"message": "the model run failed", "type": "server_error", "param": None, "code": None}


def test_a_stream_that_has_not_begun_answers_with_its_error(site: Endpoints) -> None:
    async def fails() -> Events:
        raise StepFailed("the model run failed")
        yield Event({})

    site.events = fails
    assert said(site.talk(posted("/v1/events", TEXT), until=END))[0] == 500


@pytest.mark.parametrize("asked", ["soon", "-1", "nan", "0.5", "1e9"])
def test_what_cannot_be_asked_of_a_quiet_stream(shared: Endpoints, asked: str) -> None:
    status, told = said(shared.talk(posted("/v1/events", TEXT, f"{JSON}x-keep-alive-s: {asked}\r\n"), until=END))
    assert (status, told["error"]["param"]) == (400, "x-keep-alive-s")


def test_an_old_client_gets_a_stream_without_chunks(site: Endpoints) -> None:
    heard = site.talk(posted("/v1/events", TEXT, version="1.0"))
    head, _, body = heard.partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert body == b'data: {"n":1}\n\ndata: [DONE]\n\n'


def test_a_head_without_end_is_refused(shared: Endpoints) -> None:
    with shared.connected() as connection:
        connection.sendall(b"POST /v1/echo HTTP/1.1\r\nHost: h\r\n")
        heard = b""
        try:
            for _ in range(1000):
                connection.sendall(b"x: " + b"y" * 1000 + b"\r\n")
            heard = heard_until(connection, b"")
        except OSError:
            pass  # it was closed while we were sending
    assert not heard or heard.startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize(
    ("header", "value"), [("x-attendant-priority", "urgent"), ("x-llm-d-inference-fairness-id", "two words")]
)
def test_a_header_that_cannot_be_heeded_is_refused_by_name(shared: Endpoints, header: str, value: str) -> None:
    with shared.connected() as connection:
        connection.sendall(posted("/v1/echo", TEXT, f"{JSON}{header}: {value}\r\n"))
        status, told = said(heard_until(connection, END))
        assert (status, told["error"]["param"]) == (400, header)
        connection.sendall(posted("/v1/echo", TEXT, f"{JSON}{header}: 5\r\n"))
        assert said(heard_until(connection, END)) == (200, {"length": 5})
