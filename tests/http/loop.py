"""An event loop in a thread, with an HTTP server in it, for tests that ask over a socket."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from attendant.http.server import HttpServer
from attendant.settings import HttpSettings
from starlette.types import ASGIApp

T = TypeVar("T")
HANGS_S = 60


class Loop:
    """Runs until :meth:`close`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``, done in the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(HANGS_S)

    def close(self) -> None:
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Site:
    """``app`` at a free port of the loopback."""

    def __init__(self, app: ASGIApp, settings: HttpSettings | None = None) -> None:
        self.loop = Loop()
        self.server = HttpServer(settings or HttpSettings(port=0), app)
        self.address = self.server.bind()
        self.loop.run(self.server.start())

    def get(self, path: str, method: str = "GET") -> tuple[int, str, bytes]:
        """Status, content type and body."""
        status, headers, body = self.ask(path, method)
        return status, headers["content-type"], body

    def ask(self, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        """Status, headers in small letters, and body."""
        try:
            response = urlopen(Request(f"http://{self.address}{path}", method=method), timeout=HANGS_S)
        except HTTPError as error:
            response = error
        with response:
            return response.status, {name.lower(): value for name, value in response.headers.items()}, response.read()

    def stop(self) -> None:
        self.loop.run(self.server.stop())

    def close(self) -> None:
        self.stop()
        self.loop.close()
