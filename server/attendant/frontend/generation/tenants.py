"""How many places of a model a tenant may have, and who gives its own up when all are taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from attendant.core.context import CallContext
from attendant.core.errors import QueueFull
from attendant.frontend.admission import Gate
from attendant.frontend.generation.streams import SequenceStream
from attendant.settings import AdmissionSettings


class TenantPlaces:
    """The places of one model, by tenant. It belongs to the event loop.

    A model that is full of one tenant's requests is not full for others: the youngest of those requests that wait, of
    the lowest priority, gives its place up to somebody who has fewer, and ends with QueueFull.

    Args:
        streams: the sequences that have no terminal event yet, the oldest first.
        cancel: ends one of them.
    """

    def __init__(
        self,
        name: str,
        gate: Gate,
        admission: AdmissionSettings,
        streams: Callable[[], Iterable[SequenceStream]],
        cancel: Callable[[str], None],
    ) -> None:
        self._name = name
        self._gate = gate
        self._fair, self._most = admission.fair, admission.max_tenant_requests
        self._streams = streams
        self._cancel = cancel
        self._leaving: set[str] = set()  # those that have given their places up, and have them still

    def take(self, context: CallContext, count: int) -> None:
        """Take ``count`` places for a call that has come; others leave if all are taken and its tenant has fewer.

        Raises:
            QueueFull: there is no room, or the tenant has as many as it may have. What the gate raises besides.
        """
        self._make_room(context, count)
        self._gate.take(count, inner=True)

    def ended(self, request_id: str) -> bool:
        """Whether the sequence had given its place up."""
        found = request_id in self._leaving
        self._leaving.discard(request_id)
        return found

    def _make_room(self, context: CallContext, count: int) -> None:
        if self._most is None and (not self._fair or self._gate.has_room(count)):
            return
        streams = [stream for stream in self._streams() if stream.request.id not in self._leaving]
        held = Counter(stream.request.tenant for stream in streams)
        own = held[context.tenant]
        if self._most is not None and own + count > self._most:
            what = f"requests of tenant {context.tenant!r}"
            raise QueueFull(self._name, self._most, self._gate.retry_after_s(own + count - self._most), what)
        while self._fair and held and not self._gate.has_room(count):
            tenant, most = max(held.items(), key=lambda item: item[1])
            stream = _last(streams, tenant, context.priority) if most > own + count else None
            if stream is None:
                return
            streams.remove(stream)
            held[tenant] -= 1
            self._end(stream)

    def _end(self, stream: SequenceStream) -> None:
        self._leaving.add(stream.request.id)
        self._gate.leaves()
        what = "requests, most of them of this caller,"
        limit = self._gate.max_places or 0
        stream.end_with(QueueFull(self._name, limit, self._gate.retry_after_s(1), what))
        self._cancel(stream.request.id)


def _last(streams: list[SequenceStream], tenant: str, priority: int) -> SequenceStream | None:
    """The youngest of the tenant's that wait, of the lowest priority, which is not above this one; no beams."""
    waiting = [
        (stream.request.priority, -place, stream)
        for place, stream in enumerate(streams)
        if stream.request.tenant == tenant and not stream.has_begun and stream.request.beams is None
    ]
    if not waiting:
        return None
    lowest, _, stream = min(waiting, key=lambda each: each[:2])
    return stream if lowest <= priority else None
