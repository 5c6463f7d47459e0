"""Notices models whose step or batch does not end, tells everybody, and ends those that can be ended."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakKeyDictionary

from attendant.metrics import Metrics
from attendant.settings import LifecycleSettings

logger = logging.getLogger(__name__)

MOST_BETWEEN_LOOKS_S = 5.0


class Runs(Protocol):
    """What runs a model, or a part of it: an engine's client, or that of its batches."""

    @property
    def busy_since_ns(self) -> int:
        """When what it is at began, monotonic; 0 while it is at nothing."""

    def where(self) -> str:
        """Where it stands in that."""

    def kill(self) -> bool:
        """End it. False: it cannot be ended."""


class Runners(Protocol):
    """What takes the calls of a model."""

    @property
    def ready(self) -> bool:
        """Whether nothing of it has died."""

    @property
    def runners(self) -> tuple[Runs, ...]:
        """All that runs it."""


class Watched(Protocol):
    """A version of a model in the table."""

    hangs: bool

    @property
    def name(self) -> str:
        """What callers call the model."""

    @property
    def full_name(self) -> str:
        """With its version."""

    @property
    def serving(self) -> Runners | None:
        """While it is in memory."""


@dataclass(slots=True)
class _Seen:
    """What a runner is at: when that began, and for how long it was seen so, in seconds."""

    since_ns: int
    seen_s: float = 0.0


class Watchdog:
    """Looks whether what models are at comes to an end. It belongs to one event loop.

    What counts is the time in which somebody looked: no model hangs because its process was stopped, or its machine
    slept.

    Args:
        models: all versions of all models.
        changed: awaited when one hangs, or goes on after all.
        give_up: called once, with the name of the first that hangs too long.
    """

    def __init__(
        self,
        settings: LifecycleSettings,
        models: Callable[[], Iterable[Watched]],
        metrics: Metrics,
        changed: Callable[[], Awaitable[None]],
        give_up: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._models = models
        self._metrics = metrics.lifecycle
        self._changed = changed
        self._give_up = give_up
        self._seen = WeakKeyDictionary[Runs, _Seen]()  # nothing of a model that leaves stays until the next look
        self._has_given_up = False
        self._between_s = min(settings.watchdog_s / 4, MOST_BETWEEN_LOOKS_S)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look from now on, unless nobody is to."""
        if self._settings.watchdog_s:
            self._task = asyncio.create_task(self._run(), name="attendant-watchdog")

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self, passed_s: float) -> None:
        """Look once. ``passed_s``: seconds since the last time."""
        seen, self._seen = self._seen, WeakKeyDictionary()
        changed = False
        for model in self._models():
            if model.serving is None or not model.serving.ready:
                changed |= model.hangs
                model.hangs = False
                continue
            longest_s = max((self._look_at(each, seen, passed_s) for each in model.serving.runners), default=0.0)
            changed |= self._judge(model, model.serving.runners, longest_s)
        if changed:
            await self._changed()

    def _look_at(self, runner: Runs, seen: WeakKeyDictionary[Runs, _Seen], passed_s: float) -> float:
        since_ns = runner.busy_since_ns
        if not since_ns:
            return 0.0
        before = seen.get(runner)
        now = self._seen[runner] = _Seen(since_ns)
        if before is not None and before.since_ns == since_ns:
            now.seen_s = before.seen_s + passed_s
        return now.seen_s

    def _judge(self, model: Watched, runners: Iterable[Runs], longest_s: float) -> bool:
        """Whether anything has changed."""
        limit_s, exit_s = self._settings.watchdog_s, self._settings.watchdog_exit_s
        before, model.hangs = model.hangs, longest_s >= limit_s
        if model.hangs and not before:
            stuck = [each for each in runners if each in self._seen and self._seen[each].seen_s >= limit_s]
            self._on_hang(model, stuck)
        elif before and not model.hangs:
            logger.warning("model %r goes on", model.full_name)
        if exit_s is not None and longest_s >= limit_s + exit_s and not self._has_given_up:
            self._has_given_up = True
            self._give_up(model.full_name)
        return before != model.hangs

    def _on_hang(self, model: Watched, stuck: Iterable[Runs]) -> None:
        self._metrics.hangs(model.name)
        for each in stuck:
            logger.critical(
                "model %r hangs: what it is at does not end within %g s. It is at\n%s",
                *(model.full_name, self._settings.watchdog_s, each.where() or "(nobody can tell)"),
            )
            if each.kill():
                logger.warning("what model %r hung in was ended", model.full_name)

    async def _run(self) -> None:
        last_s = time.monotonic()
        while True:
            await asyncio.sleep(self._between_s)
            now_s = time.monotonic()
            await self.look(min(now_s - last_s, 2 * self._between_s))
            last_s = now_s
