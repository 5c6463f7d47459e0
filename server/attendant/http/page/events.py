"""The stream of the page: one snapshot a second for all listeners, and none of it while nobody listens."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Any

from attendant import __version__
from attendant.http.page.history import History, Point
from attendant.metrics import Metrics

logger = logging.getLogger("attendant.http")

PERIOD_S = 1.0
"""Between two snapshots, while somebody listens."""
IDLE_PERIOD_S = 5.0
"""Between two copies of the counters, while nobody does: the charts of who comes next are full."""
RECONNECT_MS = 2000
MOST_LISTENERS = 64


class TooManyListeners(Exception):
    """Every place is taken."""


class Events:
    """Listeners and what they hear. Belongs to the event loop.

    Args:
        models: what is known of each model, as JSON has it.
        serving: whether the server takes calls.
    """

    def __init__(
        self, metrics: Metrics, models: Callable[[], list[dict[str, Any]]], serving: Callable[[], bool]
    ) -> None:
        self._history = History(metrics.counts, time.monotonic)
        self._models = models
        self._serving = serving
        self._listeners: set[_Listener] = set()
        self._came = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to copy counters."""
        self._history.take()
        self._task = asyncio.create_task(self._run(), name="attendant-page")

    async def close(self) -> None:
        """End every stream. May be called twice, or without a start."""
        for listener in self._listeners:
            listener.end()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._task = None

    def listen(self) -> AsyncGenerator[bytes, None]:
        """What one listener hears, as a browser's EventSource reads it: ``history``, then ``snapshot`` each second.

        Raises:
            TooManyListeners: there is no place.
        """
        if len(self._listeners) >= MOST_LISTENERS:
            raise TooManyListeners(f"{MOST_LISTENERS} browsers listen already, which is the limit")
        return self._heard()

    async def _heard(self) -> AsyncGenerator[bytes, None]:
        listener = _Listener()
        self._listeners.add(listener)
        try:
            yield f"retry: {RECONNECT_MS}\n\n".encode()
            self._history.take()
            self._came.set()
            yield event("history", {**self._snapshot(None), "points": await self._history.points()})
            while (heard := await listener.next()) is not None:
                yield heard
        finally:
            self._listeners.discard(listener)

    async def _run(self) -> None:
        try:
            while True:
                await self._wait()
                self._history.take()
                if self._listeners:
                    told = event("snapshot", self._snapshot(self._history.point()))
                    for listener in self._listeners:
                        listener.tell(told)
        except Exception:  # nobody awaits this task: the log hears of it, and the streams end
            logger.exception("the events of the page have ended")
            for listener in self._listeners:
                listener.end()

    async def _wait(self) -> None:
        """Until it is time for a sample: sooner if somebody comes."""
        self._came.clear()
        if self._listeners:
            await asyncio.sleep(PERIOD_S)
            return
        # Not by wait_for: that of Python 3.11 forgets a cancellation which comes together with what it waits for.
        with suppress(TimeoutError):
            async with asyncio.timeout(IDLE_PERIOD_S):
                await self._came.wait()

    def _snapshot(self, point: Point | None) -> dict[str, Any]:
        told = {
            "version": __version__,
            "serving": self._serving(),
            "models": self._models(),
            "board": self._history.board(),
        }
        return told if point is None else {**told, "point": point}


class _Listener:
    """One browser. One that reads slowly misses snapshots; it keeps none of them in memory but the last."""

    def __init__(self) -> None:
        self._next: bytes | None = None
        self._ended = False
        self._told = asyncio.Event()

    def tell(self, heard: bytes) -> None:
        self._next = heard
        self._told.set()

    def end(self) -> None:
        self._ended = True
        self._told.set()

    async def next(self) -> bytes | None:
        """What was told last and not heard yet; None at the end."""
        await self._told.wait()
        if self._ended:
            return None
        self._told.clear()
        heard, self._next = self._next, None
        return heard


def event(name: str, data: object) -> bytes:
    """An event of a stream, as the HTML standard's server-sent events have it."""
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()
