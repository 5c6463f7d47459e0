"""How busy the server is, for balancers: Open Request Cost Aggregation (ORCA), which Envoy and gRPC itself read.

Reports come with the end of every call (the trailer ``endpoint-load-metrics-bin``) and as a stream for whoever asks
(``xds.service.orca.v3.OpenRcaService``), which does not wait for calls to end: streams of tokens are long.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from typing import Any

from attendant_proto.orca import load_report_pb2, service_pb2, service_pb2_grpc

from attendant.frontend.generation.recent import LoadNow

TRAILER = "endpoint-load-metrics-bin"

SAMPLE_S = 0.1
"""How often the state of the models is looked at: a report of a longer time is the mean of such looks."""

SHORTEST_S, USUAL_S, LONGEST_S = 0.1, 1.0, 60.0
"""Seconds between two reports of a stream: at least, where nothing is said, and at most."""


class LoadReports:
    """Makes reports. Everything here runs on the event loop's thread.

    ``application_utilization`` is that of the busiest model: sequences, or rows, that run and wait, by how many can run
    together. It is above 1 while work waits, and of two servers that get as many calls the slower one has the higher.

    Args:
        loads: of every model that serves now.
    """

    def __init__(self, loads: Callable[[], Iterable[LoadNow]]) -> None:
        self._loads = loads
        self._begun = self._failed = 0
        self._recent = _Window(self._figures)
        self._trailer = b""
        self._trailer_s = 0.0

    def began(self) -> None:
        """A call came."""
        self._begun += 1

    def trailer(self, *, failed: bool) -> bytes:
        """What goes with the end of a call: the report, as bytes. ``failed``: the server could not do the call."""
        self._failed += failed
        now = time.monotonic()
        if now - self._trailer_s >= SAMPLE_S:
            self._trailer_s = now
            self._recent.look()
            self._trailer = self._recent.report().SerializeToString()
            if self._recent.age_s >= USUAL_S:
                self._recent.begin()
        return self._trailer

    async def stream(self, interval_s: float) -> AsyncGenerator[load_report_pb2.OrcaLoadReport]:
        """A report at once, and then one in each interval, which is about all of it."""
        window = _Window(self._figures)
        while True:
            yield window.report()
            window.begin()
            end = time.monotonic() + interval_s
            while (left := end - time.monotonic()) > 0:
                await asyncio.sleep(min(left, SAMPLE_S))
                window.look()

    def _figures(self) -> _Figures:
        return _Figures(tuple(self._loads()), self._begun, self._failed)


class _Figures:
    """The state of a server at one moment."""

    def __init__(self, loads: tuple[LoadNow, ...], begun: int, failed: int) -> None:
        self.at_s = time.monotonic()
        times = os.times()
        self.cpu_s = times.user + times.system
        self.begun, self.failed = begun, failed
        self.running = sum(load.running for load in loads)
        self.waiting = sum(load.waiting for load in loads)
        self.kv_usage = max((load.kv_usage for load in loads), default=0.0)
        self.tokens_per_s = sum(load.tokens_per_s for load in loads)
        self.busy = max(((load.running + load.waiting) / max(load.max_running, 1) for load in loads), default=0.0)


class _Window:
    """Looks at the state from a begin on, and what they say together."""

    def __init__(self, look: Callable[[], _Figures]) -> None:
        self._look = look
        self._before = self._last = look()
        self._busy = [self._last.busy]

    @property
    def age_s(self) -> float:
        """Seconds from its begin to the last look."""
        return self._last.at_s - self._before.at_s

    def begin(self) -> None:
        """What was looked at before counts no more."""
        self._before, self._busy = self._last, []

    def look(self) -> None:
        """Look now. A long time without a look is none that can be told of: the state then is as good as new."""
        self._last = self._look()
        self._busy.append(self._last.busy)

    def report(self) -> load_report_pb2.OrcaLoadReport:
        """What was seen; of calls and processors, since the begin."""
        before, last = self._before, self._last
        seconds = max(last.at_s - before.at_s, 1e-3)
        return load_report_pb2.OrcaLoadReport(
            application_utilization=sum(self._busy) / len(self._busy) if self._busy else last.busy,
            cpu_utilization=(last.cpu_s - before.cpu_s) / seconds / (os.cpu_count() or 1),
            rps_fractional=(last.begun - before.begun) / seconds,
            eps=(last.failed - before.failed) / seconds,
            utilization={"kv_cache": min(last.kv_usage, 1.0)},
            named_metrics={
                "kv_cache_usage_perc": last.kv_usage,
                "num_requests_running": last.running,
                "num_requests_waiting": last.waiting,
                "tokens_per_second": last.tokens_per_s,
            },
        )


class OrcaServicer(service_pb2_grpc.OpenRcaServiceServicer):
    """xds.service.orca.v3.OpenRcaService."""

    def __init__(self, reports: LoadReports) -> None:
        self._reports = reports

    async def StreamCoreMetrics(  # noqa: N802
        self, request: service_pb2.OrcaLoadReportRequest, context: Any
    ) -> AsyncIterator[load_report_pb2.OrcaLoadReport]:
        """Reports until the caller leaves. An interval out of range is the nearest in it."""
        asked = request.report_interval.seconds + request.report_interval.nanos / 1e9
        interval_s = min(max(asked, SHORTEST_S), LONGEST_S) if asked > 0 else USUAL_S
        async for report in self._reports.stream(interval_s):
            yield report
