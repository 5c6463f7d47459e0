"""Everything that speaks HTTP, as one: what the settings want of it, its start and its end in order."""

from __future__ import annotations

from collections.abc import Callable

from attendant.core.stages import Tracer
from attendant.core.tally import CallLog
from attendant.frontend.front_end import FrontEnd
from attendant.http.api.door import Limits
from attendant.http.app import http_app
from attendant.http.page.routes import Page
from attendant.http.server import HttpServer
from attendant.metrics import Metrics
from attendant.rpc.openinference.servicer import InferenceServicer
from attendant.security.guard import Guard
from attendant.settings import HttpSettings


class HttpSide:
    """The HTTP side of one server. Create it anywhere; the rest belongs to one event loop.

    Args:
        front_end: the models, asked at each request; None as long as they are being loaded.
        inference: the Open Inference Protocol's gRPC half; None so long, too.
        serving: whether the server takes calls.
        tracer: takes in how calls went; None: nobody does.
        explains: the page serves what models looked at, too.
        guard: says whom to listen to; None: to everyone.
        log: writes a line of each call; None: nobody does.
    """

    def __init__(  # noqa: PLR0913 - all that HTTP stands on, each by name
        self,
        settings: HttpSettings,
        metrics: Metrics,
        front_end: Callable[[], FrontEnd | None],
        inference: Callable[[], InferenceServicer | None],
        serving: Callable[[], bool],
        tracer: Tracer | None,
        *,
        explains: bool,
        guard: Guard | None = None,
        log: CallLog | None = None,
    ) -> None:
        self._page = Page(settings.page, metrics, front_end, serving, explains=explains)
        limits = Limits(int(settings.max_body_bytes), settings.keep_alive_s, settings.origins)
        models, protocol = (front_end, inference) if settings.api else (None, None)
        door, identity = (guard.door, guard.identity) if guard is not None else (None, None)
        app = http_app(metrics, serving, self._page, tracer, models, limits, protocol, door, log)
        self._server = HttpServer(settings, app, identity)

    def bind(self) -> str:
        """Take the port. Returns host:port. Raises ConfigurationError."""
        return self._server.bind()

    async def start(self) -> None:
        """Answer, from now on. The port must be taken."""
        await self._server.start()
        self._page.start()

    async def go_away(self) -> None:
        """Send callers elsewhere; see :meth:`HttpServer.go_away`."""
        self._server.go_away()

    async def stop(self) -> None:
        """Stop listening, and end every connection; see :meth:`HttpServer.stop`."""
        await self._page.close()
        await self._server.stop()
