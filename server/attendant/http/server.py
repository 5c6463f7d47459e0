"""Listens for HTTP and runs the app with uvicorn in the server's event loop: the port first, the end in order."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import uvicorn
from starlette.types import ASGIApp

from attendant.core.errors import ConfigurationError
from attendant.http.protocol import Keeping, Protocol
from attendant.http.refused import Refused
from attendant.security.identity import Identity
from attendant.security.kept import Kept
from attendant.settings import HttpSettings

logger = logging.getLogger("attendant.http")

KEEP_ALIVE_S = 75
"""Seconds that a connection may be silent between two requests: more than between two scrapes of Prometheus."""

GONE_S = 60
"""Seconds after which a caller counts as gone who takes nothing of what is sent, or whose machine does not answer."""

FAREWELL_S = 2
"""Seconds that answers under way may take when the server ends."""


class HttpServer:
    """Serves ``app`` at one address. Everything but the constructor belongs to one event loop. ``identity``: the
    server's certificate; None: connections are not encrypted."""

    def __init__(self, settings: HttpSettings, app: ASGIApp, identity: Kept[Identity] | None = None) -> None:
        self._settings = settings
        self._app = app
        self._identity = identity
        self._keeping = Keeping(settings.max_connection_age_s, int(settings.max_head_bytes))
        self._socket: socket.socket | None = None
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    def bind(self) -> str:
        """Take the port. Who connects waits until :meth:`start`.

        Returns:
            host:port, with the real port.

        Raises:
            ConfigurationError: the address cannot be listened on.
        """
        host, port = self._settings.host, self._settings.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # The protocol is named, or asyncio would not switch delays off, and an answer's body would wait 40 ms for the
        # caller's word that its head has come.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            # A port in TIME_WAIT is free; one that is listened on is still refused.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _look_for_the_gone(listener)
            listener.bind((host, port))
            listener.listen()
        except OSError as error:
            listener.close()
            raise ConfigurationError(
                f"cannot listen for HTTP on {host}:{port}: {error.strerror or error}; set http.host and http.port "
                "(port 0 picks a free one)"
            ) from None
        listener.setblocking(False)
        self._socket = listener
        real = listener.getsockname()[1]
        return f"[{host}]:{real}" if ":" in host else f"{host}:{real}"

    async def start(self) -> None:
        """Answer, from now on. The port must be taken.

        Raises:
            OSError: the system gives no more of what it needs.
        """
        assert self._socket is not None, "it is bound"
        Refused(asyncio.get_running_loop())
        self._server = _Server(_config(self._app, self._keeping, self._identity))
        self._serving = asyncio.create_task(self._server.serve([self._socket]), name="attendant-http")
        self._serving.add_done_callback(_tell)
        listening = asyncio.ensure_future(self._server.listening.wait())
        await asyncio.wait((listening, self._serving), return_when=asyncio.FIRST_COMPLETED)
        if not listening.done():
            listening.cancel()
            await self._serving

    def go_away(self) -> None:
        """End connections after their answers, and silent ones at once; whoever opens one is still answered."""
        self._keeping.end()
        if self._server is not None:
            for connection in tuple(self._server.server_state.connections):
                connection.shutdown()

    async def stop(self) -> None:
        """Stop listening, and end every connection: silent ones at once, others after their answer or FAREWELL_S. May
        be called if the server never started, and twice."""
        server, serving, listener = self._server, self._serving, self._socket
        self._server = self._serving = self._socket = None
        if server is not None and serving is not None:
            server.should_exit = True
            await asyncio.wait((serving,))
        if listener is not None:
            listener.close()


def _look_for_the_gone(listener: socket.socket) -> None:
    """Have the system end connections whose other side has vanished without a farewell; accepted ones inherit this."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    times = {"TCP_KEEPIDLE": GONE_S // 2, "TCP_KEEPINTVL": max(GONE_S // 6, 1), "TCP_KEEPCNT": 3}
    for name, value in {**times, "TCP_USER_TIMEOUT": GONE_S * 1000}.items():
        if hasattr(socket, name):  # some systems have not all of them
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), max(value, 1))


def _tell(serving: asyncio.Task[None]) -> None:
    if not serving.cancelled() and (error := serving.exception()) is not None:
        logger.error("HTTP has ended", exc_info=error)


def _config(app: ASGIApp, keeping: Keeping, identity: Kept[Identity] | None) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        http=partial(Protocol, keeping=keeping),  # type: ignore[arg-type] # it makes one
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,  # the command line has set logging up
        access_log=False,  # scrapes are not news
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=FAREWELL_S,
    )
    if identity is not None:
        config.load()
        config.ssl = _newest(identity)
    return config


def _newest(identity: Kept[Identity]) -> ssl.SSLContext:
    """What handshakes begin with; each goes on with the newest context as soon as the caller has said hello."""
    first = identity.value.context

    def switch(handshake: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
        handshake.context = identity.value.context

    first.sni_callback = switch  # called whether the caller names a server or not
    return first


class _Server(uvicorn.Server):
    """uvicorn's server, which leaves signals to the application and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does."""
        await super().startup(sockets)
        self.listening.set()
