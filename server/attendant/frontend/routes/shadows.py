"""Shadows: calls that another model gets, too, once the caller has its answer. Nobody waits for them."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from attendant.core.context import CallContext, working_for
from attendant.core.errors import AttendantError, Overloaded
from attendant.core.metadata import LOWEST_PRIORITY
from attendant.frontend.routes.differences import Difference
from attendant.frontend.routes.routing import Hop
from attendant.metrics.routes import RouteMetrics
from attendant.settings.routes import ShadowRoute

logger = logging.getLogger(__name__)

Run = Callable[[CallContext], Awaitable[Difference]]


class Shadows:
    """The shadows that run. A shadow begins when its call has been answered, so that it takes nothing from that; the
    client's going makes no difference from then on. One that comes while as many as may run is dropped.
    """

    def __init__(self, metrics: RouteMetrics) -> None:
        self._metrics = metrics
        self._running: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def num_running(self) -> int:
        """Shadows that run now."""
        return len(self._tasks)

    def offer(self, hop: Hop, context: CallContext, run: Run) -> None:
        """Run a shadow, if there is room. ``context``: of the call that was answered."""
        route, target = hop.route.name, hop.target.label
        spec = hop.route.spec
        assert isinstance(spec, ShadowRoute), "others have no shadows"
        if self._running[route] >= spec.max_running:
            self._metrics.shadow(route, target, "dropped")
            return
        own = replace(CallContext.new(f"{context.request_id}-shadow", spec.timeout_s), priority=LOWEST_PRIORITY)
        task = asyncio.create_task(self._run(hop, own, run))
        self._running[route] += 1
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(route, done))

    def skip(self, hop: Hop) -> None:
        """A call that no shadow can get."""
        self._metrics.shadow(hop.route.name, hop.target.label, "skipped")

    async def close(self) -> None:
        """End those that run."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, hop: Hop, context: CallContext, run: Run) -> None:
        route, target = hop.route.name, hop.target.label
        try:
            with working_for(context), suppress(asyncio.CancelledError):
                async with asyncio.timeout(context.time_left_s()):
                    found = await run(context)
                self._metrics.shadow(route, target, "equal" if found.equal else "different", found.distances)
        except Overloaded:
            self._metrics.shadow(route, target, "dropped")
        except (AttendantError, TimeoutError) as error:
            self._metrics.shadow(route, target, "failed")
            logger.warning("the shadow %r of route %r failed: %s", target, route, error or "it took too long")
        except Exception as error:  # supervision point: a shadow's failure is nobody's
            self._metrics.shadow(route, target, "failed")
            logger.error("the shadow %r of route %r failed", target, route, exc_info=error)

    def _ended(self, route: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._running[route] -= 1
