"""What becomes of a model whose engine died: it is loaded anew, a limited number of times, while others serve."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from attendant.core.errors import Draining
from attendant.frontend.served_model import OnDeath, ServedModel
from attendant.metrics import Metrics
from attendant.models.entry import Entry
from attendant.models.garbage import forget_frames
from attendant.models.restarts import Restarts
from attendant.models.table import ModelTable
from attendant.settings import LifecycleSettings

logger = logging.getLogger(__name__)


class Revival:
    """Loads dead models anew. It belongs to one event loop.

    Args:
        give_up: called with the model's name and the exception when it is not loaded any more; the server is to end.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        table: ModelTable[ServedModel],
        settings: LifecycleSettings,
        metrics: Metrics,
        give_up: OnDeath,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table = table
        self._restarts = Restarts(settings.max_restarts, settings.restart_window_s, settings.restart_backoff_s)
        self._metrics = metrics
        self._give_up = give_up
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    def on_death(self, name: str, error: BaseException) -> None:
        """An engine of a model, or its batches, have died; its calls have failed."""
        dead = [entry for entry in self._table.of(name) if entry.serving is not None and not entry.serving.ready]
        if dead and all(entry.restarting for entry in dead):  # another part of it died before
            return
        entry = next((entry for entry in dead if not entry.restarting and self._table.can_renew(entry)), None)
        pause_s = self._pause_s(entry) if entry is not None else None
        if entry is None or pause_s is None:
            self._give_up(name, error)
            return
        logger.error("the engine of model %r died; it is loaded anew in %g s", entry.full_name, pause_s, exc_info=error)
        entry.restarting = True
        task = asyncio.ensure_future(self._revive(entry, pause_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Load nothing anew any more."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _pause_s(self, entry: Entry[ServedModel]) -> float | None:
        return self._restarts.died(entry.full_name, self._clock())

    async def _revive(self, entry: Entry[ServedModel], pause_s: float) -> None:
        await self._table.tell()
        while True:
            await asyncio.sleep(pause_s)
            try:
                await self._table.renew(entry)
            except Draining:  # the server ends
                return
            except Exception as error:  # noqa: BLE001
                # supervision point: a model's fault, of whatever kind, is its own
                forget_frames(error)
                self._metrics.lifecycle.restarted(entry.name, came_back=False)
                again_s = self._pause_s(entry)
                if again_s is None:
                    self._give_up(entry.name, error)
                    return
                pause_s = again_s
                logger.error("model %r could not be loaded anew; again in %g s: %s", entry.full_name, pause_s, error)
            else:
                if not entry.restarting:
                    self._metrics.lifecycle.restarted(entry.name, came_back=True)
                    logger.warning("model %r serves again", entry.full_name)
                return
