"""Who watches over the models of a server: whether they hang, and what becomes of those that die."""

from __future__ import annotations

from attendant.core.errors import EngineDead
from attendant.frontend.revival import Revival
from attendant.frontend.served_model import OnDeath, ServedModel
from attendant.frontend.watchdog import Watchdog
from attendant.metrics import Metrics
from attendant.models.table import ModelTable
from attendant.settings import LifecycleSettings


class Vigil:
    """Belongs to one event loop.

    Args:
        give_up: called on the loop with a model's name and the cause when the server is to end because of it.
    """

    def __init__(
        self, table: ModelTable[ServedModel], settings: LifecycleSettings, metrics: Metrics, give_up: OnDeath
    ) -> None:
        self._revival = Revival(table, settings, metrics, give_up)
        self._watchdog = Watchdog(
            settings,
            lambda: table.entries,
            metrics,
            table.tell,
            lambda name: give_up(name, EngineDead(f"model {name!r} hangs, and cannot be ended alone")),
        )

    def start(self) -> None:
        """Watch from now on."""
        self._watchdog.start()

    def on_death(self, name: str, error: BaseException) -> None:
        """See :meth:`attendant.frontend.revival.Revival.on_death`."""
        self._revival.on_death(name, error)

    async def close(self) -> None:
        """Watch no more, and load nothing anew."""
        await self._watchdog.close()
        await self._revival.close()
