"""Who reads the routes file: at the start, and again when told to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from attendant.core.errors import ConfigurationError
from attendant.frontend.routes.graph import compiled
from attendant.metrics.routes import RouteMetrics
from attendant.settings.routes import RoutesFile

logger = logging.getLogger(__name__)


class RoutesReader:
    """Reads one routes file. ``metrics``: counts what came of reading it again."""

    def __init__(self, path: Path, metrics: RouteMetrics) -> None:
        self._path = path
        self._metrics = metrics
        self._reading: asyncio.Task[None] | None = None
        self._again = False

    def read(self) -> RoutesFile:
        """The file as it is now, found to fit itself. Raises ConfigurationError."""
        file = RoutesFile.read(self._path)
        compiled(file)
        return file

    def read_again(self, put: Callable[[RoutesFile], Awaitable[None]]) -> None:
        """Read the file and ``put`` what it says in place. What is wrong with it stands in the log, and then everything
        stays as it was."""
        self._again = True
        if self._reading is None or self._reading.done():
            self._reading = asyncio.ensure_future(self._read(put))

    async def _read(self, put: Callable[[RoutesFile], Awaitable[None]]) -> None:
        while self._again:  # it may have changed while it was being read
            self._again = False
            try:
                file = await asyncio.to_thread(self.read)
                await put(file)
            except ConfigurationError as error:
                self._metrics.reloaded("refused")
                logger.error("the routes stay as they were: %s", error)
            else:
                self._metrics.reloaded("done")
                logger.info("read %d routes again from %s", len(file.spec.routes), self._path)
