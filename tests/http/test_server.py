"""The HTTP side over a real socket."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from attendant.core.errors import ConfigurationError
from attendant.http.server import HttpServer
from attendant.metrics import Metrics
from attendant.settings import HttpSettings


class Rooms:
    def __init__(self) -> None:
        self.serving = True
        self.metrics = Metrics()
        self.server = HttpServer(HttpSettings(port=0), self.metrics.render, lambda: self.serving)
        self.address = self.server.start()

    def get(self, path: str, method: str = "GET") -> tuple[int, str, bytes]:
        try:
            response = urlopen(Request(f"http://{self.address}{path}", method=method), timeout=60)
        except HTTPError as error:
            response = error
        with response:
            return response.status, response.headers["Content-Type"], response.read()


@pytest.fixture
def rooms() -> Iterator[Rooms]:
    rooms = Rooms()
    yield rooms
    rooms.server.stop()


def test_metrics_are_what_prometheus_reads(rooms: Rooms) -> None:
    rooms.metrics.add_model("m")
    status, content_type, body = rooms.get("/metrics?name[]=x")
    assert status == 200
    assert content_type.startswith("text/plain; version=")
    assert b'attendant_num_requests_running{model_name="m"} 0.0' in body


def test_health_follows_the_server(rooms: Rooms) -> None:
    assert rooms.get("/healthz")[0] == 200
    assert json.loads(rooms.get("/healthz")[2]) == {"status": "serving"}
    rooms.serving = False
    status, content_type, body = rooms.get("/healthz")
    assert (status, content_type, json.loads(body)) == (503, "application/json", {"status": "not serving"})


def test_other_pages_and_methods(rooms: Rooms) -> None:
    status, _, body = rooms.get("/nothing")
    assert status == 404
    assert "/metrics" in json.loads(body)["error"]
    assert rooms.get("/healthz", "HEAD") == (200, "application/json", b"")
    assert rooms.get("/healthz", "POST")[0] == 501


def test_a_silent_connection_does_not_hold_up_others_or_the_end(rooms: Rooms) -> None:
    host, _, port = rooms.address.rpartition(":")
    with socket.create_connection((host, int(port))):
        assert rooms.get("/healthz")[0] == 200
        rooms.server.stop()  # comes back while the silent one is still there
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((host, int(port)))


def test_a_port_in_use_is_named(rooms: Rooms) -> None:
    port = int(rooms.address.rpartition(":")[2])
    with pytest.raises(ConfigurationError, match=rf"127\.0\.0\.1:{port}.*in use.*http\.port"):
        HttpServer(HttpSettings(port=port), rooms.metrics.render, lambda: True).start()


def test_a_server_that_never_started_stops() -> None:
    HttpServer(HttpSettings(port=0), Metrics().render, lambda: True).stop()
