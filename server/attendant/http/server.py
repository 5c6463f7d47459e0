"""A small HTTP server in a thread of its own: /metrics for Prometheus, /healthz for load balancers."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from attendant.core.errors import ConfigurationError
from attendant.settings import HttpSettings

Page = tuple[int, bytes, str]  # status, body, content type


class HttpServer:
    """Serves what ``metrics`` renders and whether ``serving`` is true. Both are called from other threads."""

    def __init__(
        self, settings: HttpSettings, metrics: Callable[[], tuple[bytes, str]], serving: Callable[[], bool]
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._serving = serving
        self._server: ThreadingHTTPServer | None = None
        self._thread = threading.Thread(target=self._run, name="attendant-http", daemon=True)

    def start(self) -> str:
        """Listen.

        Returns:
            host:port, with the real port.

        Raises:
            ConfigurationError: the address cannot be listened on.
        """
        host, port = self._settings.host, self._settings.port
        try:
            self._server = _server_class(host)((host, port), _handler(self._page))
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen for HTTP on {host}:{port}: {error.strerror or error}; set http.host and http.port "
                "(port 0 picks a free one)"
            ) from None
        self._thread.start()
        return f"[{host}]:{self._server.server_port}" if ":" in host else f"{host}:{self._server.server_port}"

    def stop(self) -> None:
        """Stop listening; blocks for a moment. May be called if the server never started."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def _run(self) -> None:
        assert self._server is not None
        self._server.serve_forever(poll_interval=0.1)

    def _page(self, path: str) -> Page:
        if path == "/metrics":
            return (200, *self._metrics())
        if path == "/healthz":
            serving = self._serving()
            return _json(200 if serving else 503, {"status": "serving" if serving else "not serving"})
        return _json(404, {"error": f"no such page: {path[:100]}; there are /metrics and /healthz"})


def _json(status: int, body: dict[str, str]) -> Page:
    return status, json.dumps(body).encode() + b"\n", "application/json"


def _server_class(host: str) -> type[ThreadingHTTPServer]:
    class Server(ThreadingHTTPServer):
        daemon_threads = True
        allow_reuse_address = True  # a port in TIME_WAIT is free; one that is listened on is still refused
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    return Server


def _handler(page: Callable[[str], Page]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # seconds that a connection may take over its request

        def do_GET(self) -> None:
            status, body, content_type = page(self.path.partition("?")[0])
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Scrapes are not news."""

    return Handler
