"""A POST whose answer comes as server-sent events, with as little of a client as that needs: what a client does with
its own time between an event and its moment is measured, too."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httptools

MOST_BYTES = 1 << 16


class HttpFailed(Exception):
    """The answer was no stream of events. ``status``: 0 where there was no answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}" if status else message)
        self.status = status


@dataclass(slots=True)
class _Answer:
    """Takes what the parser finds."""

    body: bytearray = field(default_factory=bytearray)
    ended: bool = False

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.ended = True


@dataclass(slots=True)
class Connections:
    """Connections to one server, each used again once its answer has ended.

    Args:
        url: ``http://host:port`` or ``https://``; a path before that of calls is kept.
        headers: that each request has besides its own.
    """

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    context: ssl.SSLContext | None = None
    _idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def events(self, path: str, body: bytes) -> AsyncGenerator[bytes]:
        """The data of each event of the answer.

        Raises:
            HttpFailed
        """
        try:
            reader, writer = self._idle.pop() if self._idle else await self._open()
        except OSError as error:
            raise HttpFailed(0, f"cannot reach {self.url}: {error}") from None
        whole = False
        try:
            writer.write(self._head(path, len(body)) + body)
            await writer.drain()
            answer = _Answer()
            parser = httptools.HttpResponseParser(answer)
            async for data in _parts(reader, parser, answer):
                yield data
            whole = parser.should_keep_alive()
        except (OSError, httptools.HttpParserError) as error:
            raise HttpFailed(0, f"{type(error).__name__}: {error}") from None
        finally:
            if whole:
                self._idle.append((reader, writer))
            else:
                writer.close()

    def close(self) -> None:
        """Close those that are not in use."""
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(self.url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        context = (self.context or ssl.create_default_context()) if parts.scheme == "https" else None
        return await asyncio.open_connection(parts.hostname, port, ssl=context)

    def _head(self, path: str, length: int) -> bytes:
        parts = urlsplit(self.url)
        lines = [f"POST {parts.path.rstrip('/')}{path} HTTP/1.1", f"host: {parts.netloc}"]
        lines += ["content-type: application/json", f"content-length: {length}", "accept: text/event-stream"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _parts(
    reader: asyncio.StreamReader, parser: httptools.HttpResponseParser, answer: _Answer
) -> AsyncIterator[bytes]:
    """The data of events. Raises HttpFailed."""
    while not answer.ended:
        data = await reader.read(MOST_BYTES)
        if not data:
            raise HttpFailed(0, "the connection was closed before the answer had ended")
        parser.feed_data(data)
        status = parser.get_status_code()
        if status != 200:
            continue
        while (end := answer.body.find(b"\n\n")) >= 0:
            event = bytes(answer.body[:end])
            del answer.body[: end + 2]
            for line in event.split(b"\n"):
                if line.startswith(b"data:"):
                    yield line[5:].strip()
    if (status := parser.get_status_code()) != 200:
        raise HttpFailed(status, answer.body.decode(errors="replace").strip()[:200])
