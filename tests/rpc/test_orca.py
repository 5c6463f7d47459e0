"""How busy a server says it is: with the end of each call, and as a stream."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from attendant.frontend.generation.recent import LoadNow
from attendant.rpc.orca import LoadReports
from attendant_proto.orca import load_report_pb2

LOAD = LoadNow(running=3, waiting=5, max_running=4, kv_used_tokens=30, kv_capacity_tokens=40, tokens_per_s=70.0)
IDLE = LoadNow(running=0, waiting=0, max_running=8)


def read(data: bytes) -> load_report_pb2.OrcaLoadReport:
    return load_report_pb2.OrcaLoadReport.FromString(data)


def test_the_busiest_model_counts() -> None:
    loads: list[LoadNow] = [IDLE, LOAD]
    reports = LoadReports(lambda: loads)
    report = read(reports.trailer(failed=False))
    assert report.application_utilization == 2.0  # five wait, for places of four
    assert dict(report.named_metrics) == {
        "kv_cache_usage_perc": 0.75,
        "num_requests_running": 3,
        "num_requests_waiting": 5,
        "tokens_per_second": 70.0,
    }
    assert report.utilization["kv_cache"] == 0.75


def test_a_server_without_models_is_not_busy() -> None:
    report = read(LoadReports(lambda: ()).trailer(failed=False))
    assert report.application_utilization == 0
    assert report.named_metrics["num_requests_running"] == 0


def test_a_stream_begins_at_once_and_tells_the_mean_of_an_interval() -> None:
    async def main() -> None:
        looks = 0

        def loads() -> Iterable[LoadNow]:
            nonlocal looks
            looks += 1
            return (LOAD,) if looks % 2 else (IDLE,)

        reports = LoadReports(loads)
        stream = reports.stream(0.1)
        first = await anext(stream)
        assert first.application_utilization in (0.0, 2.0)
        reports.began()
        reports.began()
        seconds = [await anext(stream) for _ in range(20)]
        assert all(0.0 <= report.application_utilization <= 2.0 for report in seconds)
        assert sum(report.rps_fractional for report in seconds) > 0
        await stream.aclose()

    asyncio.run(main())
