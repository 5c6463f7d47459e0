"""How many rows of a model a tenant may have, and who gets in though the queue is full of others' rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from attendant.core.errors import QueueFull
from attendant.frontend.admission import Gate, Visitor
from attendant.settings import AdmissionSettings

SPARE_PART = 8
"""One of so many places more there are for tenants with few rows."""


class TenantRows:
    """The rows of one model, by tenant: those that run, and those that wait for a batch or for a place. It belongs to
    the event loop.

    A queue that is full of others' rows is not full for a tenant that has few: no more than an eighth of the places,
    and as many places there are more. Rows are next by tenant then, so they wait for nobody's queue.
    """

    def __init__(self, name: str, gate: Gate, admission: AdmissionSettings) -> None:
        self._name = name
        self._gate = gate
        self._most = admission.max_tenant_rows
        self._spare = (gate.max_places or 0) // SPARE_PART if admission.fair else 0
        self._rows: Counter[str] = Counter()

    def check_room(self, tenant: str, count: int) -> None:
        """Find out whether ``count`` rows of a call that has none yet can have places now.

        Raises:
            QueueFull: there is no room, or the tenant would have more than it may have.
        """
        own = self._rows[tenant]
        if self._most is not None and own + count > self._most:
            what = f"inputs of tenant {tenant!r}"
            raise QueueFull(self._name, self._most, self._gate.retry_after_s(own + count - self._most), what)
        if not self._has_few(own + count, count):
            self._gate.check_room(count)

    @contextmanager
    def inside(self, tenant: str, visitor: Visitor) -> Iterator[None]:
        """Around the time in which rows are there: they enter once there are places for them, perhaps at once."""
        count = visitor.num_places
        self._rows[tenant] += count
        try:
            if self._has_few(self._rows[tenant], count):
                self._gate.let_in_beyond(visitor)
            else:
                self._gate.let_in_when_room(visitor)
            yield
        finally:
            self._rows[tenant] -= count
            if not self._rows[tenant]:
                del self._rows[tenant]

    def _has_few(self, own: int, count: int) -> bool:
        """Whether ``count`` rows get in though the queue is full of others': of a tenant that has ``own`` with them."""
        most = self._gate.max_places
        return most is not None and own <= self._spare and self._gate.taken + count <= most + self._spare
