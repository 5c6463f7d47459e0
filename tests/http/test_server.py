"""The HTTP side over a real socket."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from attendant.core.errors import ConfigurationError
from attendant.http import protocol
from attendant.http import server as http_server
from attendant.http.answers import said
from attendant.http.app import app_of, http_app
from attendant.http.server import HttpServer
from attendant.metrics import Metrics
from attendant.settings import HttpSettings
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tests.http.loop import HANGS_S, Site


class Rooms(Site):
    def __init__(self) -> None:
        self.serving = True
        self.metrics = Metrics()
        super().__init__(http_app(self.metrics, lambda: self.serving))


@pytest.fixture
def rooms() -> Iterator[Rooms]:
    rooms = Rooms()
    yield rooms
    rooms.close()


def unused() -> HttpServer:
    return HttpServer(HttpSettings(port=0), http_app(Metrics(), lambda: True))


def test_metrics_are_what_prometheus_reads(rooms: Rooms) -> None:
    rooms.metrics.add_model("m")
    status, content_type, body = rooms.get("/metrics?name[]=x")
    assert status == 200
    assert content_type.startswith("text/plain; version=")
    assert b'attendant_num_requests_running{model_name="m"} 0.0' in body


def test_load_is_what_endpoint_pickers_read(rooms: Rooms) -> None:
    rooms.metrics.add_model("m")
    status, content_type, body = rooms.get("/metrics/load")
    assert status == 200
    assert content_type.startswith("text/plain; version=")
    assert b'vllm:num_requests_waiting{engine="0",model_name="m"} 0\n' in body


def test_health_follows_the_server(rooms: Rooms) -> None:
    assert rooms.get("/healthz")[0] == 200
    assert json.loads(rooms.get("/healthz")[2]) == {"status": "serving"}
    rooms.serving = False
    status, content_type, body = rooms.get("/healthz")
    assert (status, content_type, json.loads(body)) == (503, "application/json", {"status": "not serving"})


def test_other_pages_and_methods(rooms: Rooms) -> None:
    status, _, body = rooms.get("/nothing")
    assert status == 404
    assert json.loads(body)["error"] == "no such page: /nothing; there are /metrics and /metrics/load and /healthz"
    assert rooms.get("/healthz/")[0] == 404
    assert rooms.get("/healthz", "HEAD") == (200, "application/json", b"")
    assert rooms.get("/metrics", "HEAD")[2] == b""
    status, headers, body = rooms.ask("/healthz", "POST")
    assert (status, set(headers["allow"].split(", "))) == (405, {"GET", "HEAD"})
    assert "POST is not allowed here" in json.loads(body)["error"]


def test_a_long_path_is_cut(rooms: Rooms) -> None:
    _, _, body = rooms.get("/" + "x" * 5000)
    assert len(body) < 300


def test_answers_do_not_say_what_serves_them(rooms: Rooms) -> None:
    _, headers, _ = rooms.ask("/healthz")
    assert "server" not in headers
    assert "date" in headers


def test_a_silent_connection_does_not_hold_up_others_or_the_end(rooms: Rooms) -> None:
    host, _, port = rooms.address.rpartition(":")
    with socket.create_connection((host, int(port))):
        assert rooms.get("/healthz")[0] == 200
        rooms.stop()  # comes back while the silent one is still there
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((host, int(port)))


@pytest.mark.parametrize("begin", [b"", b"GET /healthz HTTP/1.1\r\nHost:"], ids=["silent", "half"])
def test_a_connection_without_a_request_is_ended(rooms: Rooms, begin: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "REQUEST_S", 0.1)
    host, _, port = rooms.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=HANGS_S) as connection:
        connection.sendall(begin)
        assert connection.recv(1) == b""


def test_a_connection_serves_many_requests_and_then_a_slow_one_is_ended(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, _, port = rooms.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=HANGS_S) as connection:
        for _ in range(3):
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
            heard = b""
            while not heard.endswith(b'{"status": "serving"}\n'):
                heard += connection.recv(10_000)
            assert heard.startswith(b"HTTP/1.1 200")
        monkeypatch.setattr(protocol, "REQUEST_S", 0.1)
        connection.sendall(b"GET /healthz")
        assert connection.recv(1) == b""


def test_a_connection_that_is_too_old_ends_with_its_answer() -> None:
    site = Site(app_of(failing()), HttpSettings(port=0).model_copy(update={"max_connection_age_s": 0.0}))
    host, _, port = site.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=HANGS_S) as connection:
        connection.sendall(b"GET /fine HTTP/1.1\r\nHost: h\r\n\r\n")
        heard = b""
        while part := connection.recv(10_000):
            heard += part
    assert heard.startswith(b"HTTP/1.1 200")
    assert b"\r\nconnection: close\r\n" in heard
    site.close()


def test_a_server_that_leaves_ends_silent_connections_at_once_and_others_with_their_answer(rooms: Rooms) -> None:
    host, _, port = rooms.address.rpartition(":")

    async def leave() -> None:
        rooms.server.go_away()

    with socket.create_connection((host, int(port)), timeout=HANGS_S) as before:
        before.sendall(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        heard = b""
        while not heard.endswith(b'{"status": "serving"}\n'):
            heard += before.recv(10_000)
        assert b"connection: close" not in heard
        rooms.loop.run(leave())
        assert before.recv(1) == b""
    assert rooms.ask("/healthz")[1]["connection"] == "close", "whoever comes is still answered"


def test_a_connection_that_is_silent_after_a_request_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "KEEP_ALIVE_S", 0.1)
    site = Site(app_of(failing()))
    host, _, port = site.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=HANGS_S) as connection:
        connection.sendall(b"GET /fine HTTP/1.1\r\nHost: h\r\n\r\n")
        while connection.recv(10_000):
            pass
    site.close()


def test_a_request_that_is_none_is_refused(rooms: Rooms) -> None:
    host, _, port = rooms.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=HANGS_S) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 400")
    assert rooms.get("/healthz")[0] == 200


def test_no_part_of_an_answer_waits_for_the_caller(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    switched, made = [], protocol.Protocol.connection_made

    def look(made_now: protocol.Protocol, transport: asyncio.Transport) -> None:
        connection = transport.get_extra_info("socket")
        switched.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        made(made_now, transport)

    monkeypatch.setattr(protocol.Protocol, "connection_made", look)
    assert rooms.get("/healthz")[0] == 200
    assert switched == [1]


def test_a_port_in_use_is_named(rooms: Rooms) -> None:
    port = int(rooms.address.rpartition(":")[2])
    with pytest.raises(ConfigurationError, match=rf"127\.0\.0\.1:{port}.*in use.*http\.port"):
        HttpServer(HttpSettings(port=port), http_app(rooms.metrics, lambda: True)).bind()


def test_the_port_is_taken_before_anything_answers() -> None:
    server = unused()
    port = int(server.bind().rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)):
        with pytest.raises(ConfigurationError, match="in use"):
            HttpServer(HttpSettings(port=port), http_app(Metrics(), lambda: True)).bind()
        asyncio.run(server.stop())


def test_a_server_that_never_started_stops() -> None:
    asyncio.run(unused().stop())


def test_an_ipv6_address_can_be_listened_on() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    server = HttpServer(HttpSettings(host="::1", port=0), http_app(Metrics(), lambda: True))
    try:
        address = server.bind()
    except ConfigurationError:
        pytest.skip("no loopback of IPv6 here")
    assert address.startswith("[::1]:")
    asyncio.run(server.stop())


def test_signals_and_logging_are_left_alone() -> None:
    root = list(logging.getLogger().handlers)

    async def live() -> None:
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        server = unused()
        server.bind()
        await server.start()
        assert {number: signal.getsignal(number) for number in handlers} == handlers
        await server.stop()

    asyncio.run(live())
    assert logging.getLogger().handlers == root
    assert not any(logging.getLogger(name).handlers for name in ("uvicorn", "uvicorn.error", "uvicorn.access"))


def failing() -> list[Route]:
    async def fails(_: Request) -> Response:
        raise ValueError("the secret cause")

    async def half(_: Request) -> Response:
        async def parts() -> object:
            yield b"begin"
            raise ValueError("the secret cause")

        return StreamingResponse(parts())  # type: ignore[arg-type]

    async def fine(_: Request) -> Response:
        return said(200, {"it": "works"})

    return [Route("/fails", fails), Route("/half", half), Route("/fine", fine)]


def test_a_route_that_fails_answers_500_and_the_log_has_the_cause(caplog: pytest.LogCaptureFixture) -> None:
    site = Site(app_of(failing()))
    status, content_type, body = site.get("/fails")
    assert (status, content_type) == (500, "application/json")
    assert b"secret" not in body
    assert b"Traceback" not in body
    assert site.get("/fine")[0] == 200
    site.close()  # the log may hear of it after the caller
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.getMessage() == "GET /fails failed"
    assert record.exc_info is not None
    assert "the secret cause" in str(record.exc_info[1])


def test_an_answer_that_fails_half_way_ends_its_connection(caplog: pytest.LogCaptureFixture) -> None:
    site = Site(app_of(failing()))
    host, _, port = site.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=HANGS_S) as connection:
        connection.sendall(b"GET /half HTTP/1.1\r\nHost: h\r\n\r\n")
        heard = b""
        while part := connection.recv(1000):
            heard += part
    assert b"begin" in heard
    assert not heard.endswith(b"0\r\n\r\n")  # the end of chunks: nobody takes it for a whole answer
    assert "GET /half failed" in caplog.text
    assert site.get("/fine")[0] == 200
    site.close()


def test_an_answer_under_way_is_finished_and_an_endless_one_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "FAREWELL_S", 1)
    came, go_on = threading.Event(), threading.Event()

    async def slow(_: Request) -> Response:
        came.set()
        await asyncio.to_thread(go_on.wait)
        return said(200, {"it": "works"})

    async def endless(_: Request) -> Response:
        async def parts() -> object:
            while True:
                yield b"."
                came.set()
                await asyncio.sleep(0.01)

        return StreamingResponse(parts())  # type: ignore[arg-type]

    site = Site(app_of([Route("/slow", slow), Route("/endless", endless)]))
    with ThreadPoolExecutor(2) as pool:
        answer = pool.submit(site.get, "/slow")
        came.wait(HANGS_S)
        end = pool.submit(site.stop)
        go_on.set()
        assert answer.result(HANGS_S)[0] == 200
        end.result(HANGS_S)
    site.close()

    site = Site(app_of([Route("/endless", endless)]))
    came.clear()
    host, _, port = site.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=HANGS_S) as connection:
        connection.sendall(b"GET /endless HTTP/1.1\r\nHost: h\r\n\r\n")
        came.wait(HANGS_S)
        site.stop()
    site.close()
