"""The thread that sends spans to a collector, beside everything else: what it cannot send, it drops and counts."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from attendant.core.stages import Trail
from attendant.metrics import TraceMetrics
from attendant.traces.spans import Spans

logger = logging.getLogger("attendant.traces")

BATCH_SPANS = 512
BATCH_S = 1.0
"""So many spans are sent at once, or those that came within so many seconds after the first."""

LAST_S = 1.0
"""Seconds that the thread has to end once it is told to leave what it is at."""


class Sender:
    """Sends the spans of trails. Every method but the constructor belongs to the event loop's thread.

    Args:
        exporter: sends a batch, with its own retries and time limit.
        most_waiting: spans that wait at most.
        why: says why the last batch failed, for the log.
    """

    def __init__(
        self, spans: Spans, exporter: SpanExporter, metrics: TraceMetrics, most_waiting: int, why: Callable[[], str]
    ) -> None:
        self._spans = spans
        self._exporter = exporter
        self._metrics = metrics
        self._most_waiting = most_waiting
        self._why = why
        self._inbox: queue.SimpleQueue[Trail | None] = queue.SimpleQueue()  # None: that was all
        self._num_put = 0  # spans, written here only
        self._num_taken = 0  # by the thread only
        self._well = True
        self._thread = threading.Thread(target=self._main, name="traces", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, trail: Trail) -> None:
        """Have a trail sent, unless too many spans wait."""
        count = trail.num_stages
        if self._num_put - self._num_taken + count > self._most_waiting:
            self._metrics.dropped(count)
            trail.forget()
            return
        self._num_put += count
        self._inbox.put(trail)

    def close(self, timeout_s: float) -> None:
        """Send what waits, for at most about ``timeout_s`` seconds. Blocks."""
        self._inbox.put(None)
        self._thread.join(timeout_s)
        late = self._thread.is_alive()
        self._exporter.shutdown()  # ends a retry, too
        if late:
            self._thread.join(LAST_S)
        if left := self._num_put - self._num_taken:
            self._metrics.dropped(left)
            logger.warning("%d spans were not sent within %g s", left, timeout_s)

    def _main(self) -> None:
        goes_on = True
        while goes_on:
            trails, goes_on = self._take()
            self._send(trails)

    def _take(self) -> tuple[list[Trail], bool]:
        """The next trails, and whether there may be more."""
        first = self._inbox.get()
        if first is None:
            return [], False
        trails, count, until = [first], first.num_stages, time.monotonic() + BATCH_S
        while count < BATCH_SPANS and (left_s := until - time.monotonic()) > 0:
            try:
                trail = self._inbox.get(timeout=left_s)
            except queue.Empty:
                break
            if trail is None:
                return trails, False
            trails.append(trail)
            count += trail.num_stages
        return trails, True

    def _send(self, trails: Sequence[Trail]) -> None:
        spans: list[ReadableSpan] = []
        for trail in trails:
            try:
                spans += self._spans.of(trail)
            except Exception:  # supervision point: what one call left behind must not cost those of others
                logger.exception("a call's spans could not be made")
                self._metrics.dropped(trail.num_stages)
            trail.forget()
        for start in range(0, len(spans), BATCH_SPANS):
            batch = spans[start : start + BATCH_SPANS]
            sent = self._exporter.export(batch) is SpanExportResult.SUCCESS
            (self._metrics.sent if sent else self._metrics.failed)(len(batch))
            self._tell(sent)
        self._num_taken += sum(trail.num_stages for trail in trails)

    def _tell(self, well: bool) -> None:
        """Once for each time that the collector goes, and comes back."""
        if well and not self._well:
            logger.info("spans reach the collector again")
        elif not well and self._well:
            logger.warning("spans do not reach the collector and are dropped until they do: %s", self._why())
        self._well = well
