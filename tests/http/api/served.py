"""The APIs of a real front end over a socket, in this process."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

from attendant.core.generation import GenerationCall, GenerationPart
from attendant.frontend.front_end import FrontEnd
from attendant.http.app import http_app
from attendant.metrics import Metrics
from attendant.models.loader import ModelLoader
from attendant.settings import EncoderSettings, EngineSettings

from tests.http.loop import HANGS_S, Site


class ApiSite(Site):
    """All APIs over ``bundles``. ``engine``: settings of models that generate."""

    def __init__(self, *bundles: Path, **engine: Any) -> None:
        self._front_end: FrontEnd | None = None
        self.metrics = Metrics()
        super().__init__(http_app(self.metrics, lambda: True, front_end=lambda: self._front_end))
        self.url = f"http://{self.address}"
        try:
            self.loop.run(self._start(bundles, EngineSettings(**{"threads": 1, "spinning": False} | engine)))
        except BaseException:  # a thread that runs on would keep the tests from ending
            self.close()
            raise

    async def _start(self, bundles: tuple[Path, ...], engine: EngineSettings) -> None:
        encoder = EncoderSettings(threads=1, spinning=False)
        loader = ModelLoader(engine, encoder=encoder, verify=False, progress=lambda *_: None)
        front_end = FrontEnd(self.metrics, lambda name, error: None)
        await front_end.start(loader.load_all(bundles, strict=True))
        self._front_end = front_end

    @property
    def front_end(self) -> FrontEnd:
        """What the APIs talk to."""
        assert self._front_end is not None, "it was started"
        return self._front_end

    def generated(self, call: GenerationCall) -> list[GenerationPart]:
        """What the front end itself answers."""

        async def collect() -> list[GenerationPart]:
            return [part async for part in self.front_end.generation.generate(call)]

        return self.loop.run(collect())

    def post(self, path: str, body: object, **headers: str) -> tuple[int, Any]:
        """Status and object of an answer. ``body``: bytes go out as they are."""
        status, _, content = self.send(path, body, **headers)
        return status, json.loads(content)

    def send(self, path: str, body: object, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers in small letters, and body of an answer."""
        host, _, port = self.address.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=HANGS_S)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("POST", path, data, {"content-type": "application/json", **said})
        response = connection.getresponse()
        found = response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        connection.close()
        return found

    def close(self) -> None:
        if self._front_end is not None:
            self.loop.run(self._front_end.close())
        super().close()
