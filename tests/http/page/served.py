"""The page of a real front end over a socket, in this process."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attendant.frontend.front_end import FrontEnd
from attendant.http.app import http_app
from attendant.http.page.guard import Audience
from attendant.http.page.routes import Page
from attendant.metrics import Metrics
from attendant.models.loader import ModelLoader
from attendant.settings import EncoderSettings, EngineSettings
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.http.loop import HANGS_S, Site

JSON = {"content-type": "application/json"}


class PageSite(Site):
    """The page over ``bundles``; ``peer``: where its visitors seem to come from."""

    def __init__(self, *bundles: Path, audience: Audience = "loopback", peer: str | None = None) -> None:
        self.metrics = Metrics()
        self.front_end: FrontEnd | None = None
        self.page = Page(audience, self.metrics, lambda: self.front_end, lambda: self.front_end is not None)
        app = http_app(self.metrics, lambda: True, self.page, front_end=lambda: self.front_end)
        super().__init__(app if peer is None else _seen_from(app, peer))
        try:
            self.loop.run(self._start(bundles))
        except BaseException:  # a thread that runs on would keep the tests from ending
            self.close()
            raise

    async def _start(self, bundles: tuple[Path, ...]) -> None:
        self.page.start()
        if bundles:
            engine, encoder = EngineSettings(threads=1, max_num_seqs=2), EncoderSettings(threads=1)
            loader = ModelLoader(engine, encoder=encoder, verify=False, progress=lambda *_: None)
            front_end = FrontEnd(self.metrics, lambda name, error: None)
            await front_end.start(loader.load_all(bundles, strict=True))
            self.front_end = front_end

    def send(
        self, path: str, body: object = None, method: str = "POST", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers in small letters, and body of an answer."""
        connection = self.connect()
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, data, {**JSON, **said} if method == "POST" else said)
        response = connection.getresponse()
        found = response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        connection.close()
        return found

    def call(self, name: str, **body: Any) -> Any:
        """What a call gives; its error, if it has one."""
        return json.loads(self.send(f"/page/{name}", body)[2])

    def lines(self, name: str, **body: Any) -> list[Any]:
        """The lines of a call."""
        return [json.loads(line) for line in self.send(f"/page/{name}", body)[2].splitlines()]

    def connect(self) -> http.client.HTTPConnection:
        host, _, port = self.address.rpartition(":")
        return http.client.HTTPConnection(host, int(port), timeout=HANGS_S)

    def close(self) -> None:
        self.loop.run(self.page.close())
        if self.front_end is not None:
            self.loop.run(self.front_end.close())
        super().close()


def _seen_from(app: ASGIApp, peer: str) -> ASGIApp:
    async def seen(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "client": (peer, 4000)}, receive, send)

    return seen


def eventually(condition: Callable[[], bool]) -> None:
    """Wait for what comes sooner or later. The limit is for a test that hangs."""
    deadline = time.monotonic() + HANGS_S
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.01)
