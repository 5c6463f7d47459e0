"""All that a server has to know whom it listens to, made of its settings, and followed while it runs."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from attendant.metrics.security import SecurityMetrics
from attendant.security.door import Door
from attendant.security.grants import Grants
from attendant.security.identity import Identity, files_of, read_identity
from attendant.security.kept import Kept
from attendant.security.refusals import Refusals
from attendant.settings import AuthSettings, TlsSettings
from attendant.settings.callers import read_callers

logger = logging.getLogger("attendant")

LOOK_S = 5.0
"""Seconds between two looks at the files."""


class Guard:
    """The server's certificate, and its door. The constructor reads the files; the rest belongs to one event loop.

    Attributes:
        identity: what the server is on the wire; None: there is no TLS.
        door: asked by skins for each call; None: whoever reaches a port may make any.
        grpc_asks: gRPC asks everyone for a certificate; else it asks nobody.
        settings_by_everyone: whoever may call may change what is logged and traced.

    Raises:
        ConfigurationError: a file makes no sense.
    """

    def __init__(self, tls: TlsSettings, auth: AuthSettings, metrics: SecurityMetrics) -> None:
        self.identity: Kept[Identity] | None = None
        if tls.certificate is not None:
            self.identity = Kept(
                "TLS certificates",
                files_of(tls),
                lambda: read_identity(tls),
                lambda identity: metrics.certificate(str(tls.certificate), identity.expires_s),
            )
        self._grants: Kept[Grants] | None = None
        if (path := auth.tokens) is not None:
            self._grants = Kept("callers", (path,), lambda: Grants(read_callers(path)))
        certificates = tls.client_ca is not None
        self.grpc_asks = certificates and tls.client_certificates != "optional"
        self.settings_by_everyone = auth.settings_by_calls == "everyone"
        self.door: Door | None = None
        if certificates or self._grants is not None:
            metrics.add()
            self.door = Door(
                self._grants, Refusals(metrics), certificates=certificates, metrics_open=auth.metrics == "open"
            )
        self._following: asyncio.Task[None] | None = None
        self._asked = asyncio.Event()

    def start(self) -> None:
        """Follow the files, if there are any."""
        if self._kept:
            self._following = asyncio.create_task(self._follow(), name="attendant-guard")

    def read_again(self) -> None:
        """Have every file read soon, whether it has changed or not."""
        self._asked.set()

    async def stop(self) -> None:
        """Follow the files no more. May be called without a start."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait((self._following,))
            self._following = None

    @property
    def _kept(self) -> tuple[Kept[Identity] | Kept[Grants], ...]:
        return tuple([kept for kept in (self.identity, self._grants) if kept is not None])

    async def _follow(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), LOOK_S)
            asked = self._asked.is_set()
            self._asked.clear()
            for kept in self._kept:
                try:
                    await asyncio.to_thread(kept.follow, asked=asked)
                except Exception:
                    # supervision point: the next look may find it mended
                    logger.exception("the files of callers and certificates were not followed")
