"""How a connection speaks HTTP: uvicorn's way, and what that leaves open to callers who are slow, gone or old."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

REQUEST_S = 10.0
"""Seconds that a connection may take until the head of a request is there."""

_TOO_LONG = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


CERTIFIED = "attendant.certified"
"""Where a request's scope has the names that its connection's certificate is for, the best first."""


def names_of(certificate: Mapping[str, Any]) -> tuple[str, ...]:
    """What a certificate is for, as the standard library tells of it: URIs, then DNS names; the common name of one for
    neither."""
    others = certificate.get("subjectAltName", ())
    found = [name for kind in ("URI", "DNS") for what, name in others if what == kind]
    common = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    return tuple(found or common)


class Keeping:
    """How long connections are kept. ``max_age_s``: of one that gets another request; None: whatever its age.
    ``max_head_bytes``: of a request's head; more ends its connection."""

    def __init__(self, max_age_s: float | None, max_head_bytes: int) -> None:
        self.max_head_bytes = max_head_bytes
        self._max_age_s = max_age_s
        self._ends = False

    def end(self) -> None:
        """Keep none from now on."""
        self._ends = True

    def keeps(self, age_s: float) -> bool:
        """Whether a connection is kept after its next answer."""
        return not self._ends and (self._max_age_s is None or age_s < self._max_age_s)


class Protocol(HttpToolsProtocol):
    """A connection. It is ended if it sends no request, or the head of one too slowly, or one without end, and after an
    answer that it was not to outlive. ``keeping``: says which."""

    _late: asyncio.TimerHandle | None = None
    _in_head = False
    _head_bytes = 0
    _header_bytes = 0
    _served: RequestResponseCycle | None = None
    _names: tuple[str, ...] = ()

    def __init__(self, *arguments: Any, keeping: Keeping, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._keeping = keeping
        self._born_s = self.loop.time()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first request is awaited."""
        super().connection_made(transport)
        if (secured := transport.get_extra_info("ssl_object")) is not None:
            self._names = names_of(secured.getpeercert() or {})
        self._await_request()

    def data_received(self, data: bytes) -> None:
        """A part of a request, or all of it."""
        super().data_received(data)
        self._head_bytes += len(data) if self._in_head else 0
        if self._head_bytes > self._keeping.max_head_bytes:
            self._refuse_head()
        elif self._under_way():
            self._forget()
        elif self._late is None:
            self._await_request()

    def on_message_begin(self) -> None:
        """The head of a request begins."""
        self._in_head, self._head_bytes, self._header_bytes = True, 0, 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header. One that comes with all others of its request is counted here."""
        self._header_bytes += len(name) + len(value) + len(b": \r\n")
        if self._header_bytes > self._keeping.max_head_bytes:
            self._refuse_head()
            raise ValueError("the head is too long")  # ends the parser's work
        super().on_header(name, value)

    def send_400_response(self, msg: str) -> None:
        """Tell that a request cannot be read, unless its connection has been told more."""
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def on_headers_complete(self) -> None:
        """The request begins, or waits behind another."""
        self._in_head = False
        self.scope[CERTIFIED] = self._names  # type: ignore[literal-required]
        super().on_headers_complete()
        if not self._keeping.keeps(self.loop.time() - self._born_s):
            self.cycle.keep_alive = False
        if self.scope["http_version"] == "1.0":
            _End(self.cycle).marks()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more; whoever works for the caller hears that there is none, behind however many other
        requests."""
        self._forget()
        if self._served is not None and not self._served.response_complete:
            self._served.disconnected = True
            self._served.message_event.set()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._served = cycle
        super()._start_asgi_task(cycle, app)

    def _refuse_head(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(_TOO_LONG)
            self.transport.close()

    def _under_way(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_request(self) -> None:
        self._late = self.loop.call_later(REQUEST_S, self._give_up)

    def _give_up(self) -> None:
        self._late = None
        if not self._under_way():
            self.transport.close()

    def _forget(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class _End:
    """The end of the connection marks the end of an answer whose length is not known: a caller of HTTP/1.0 knows no
    chunks."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._send = cycle.send

    def marks(self) -> None:
        """From now on."""
        self._cycle.send = self.send  # type: ignore[method-assign]

    async def send(self, message: Any) -> None:
        """Let a message pass, as one of an answer of any length."""
        cycle = self._cycle
        if message["type"] == "http.response.start" and not _says_length(message):
            cycle.chunked_encoding = False
            cycle.expected_content_length = sys.maxsize
        elif cycle.expected_content_length > sys.maxsize // 2 and not message.get("more_body", False):
            cycle.expected_content_length = len(message.get("body", b""))
        await self._send(message)


def _says_length(message: Message) -> bool:
    return any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
