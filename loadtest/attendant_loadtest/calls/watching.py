"""Calls of what watches a server: balancers, probes, Prometheus, tools that ask what there is."""

from __future__ import annotations

from typing import Any

from attendant_proto.orca import service_pb2 as orca
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2 as reflection

from attendant_loadtest.calls.route import Route
from attendant_loadtest.calls.rpc import Rpc
from attendant_loadtest.calls.subject import Subject
from attendant_loadtest.calls.user import CallingUser

health: Any = health_pb2  # its stubs know no List


def _report(ask: Subject) -> orca.OrcaLoadReportRequest:
    request = orca.OrcaLoadReportRequest()
    request.report_interval.FromMilliseconds(1000)
    return request


class WatchingUser(CallingUser):
    """Health, reflection and load reports. Streams that never end are read to their first message."""

    calls = (
        Rpc("grpc.health.v1.Health/Check", lambda ask: health.HealthCheckRequest()),
        Rpc("grpc.health.v1.Health/List", lambda ask: health.HealthListRequest()),
        Rpc("grpc.health.v1.Health/Watch", lambda ask: health.HealthCheckRequest(), most=1),
        Rpc(
            "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            lambda ask: [reflection.ServerReflectionRequest(list_services="")],
            answers=True,
        ),
        Rpc("xds.service.orca.v3.OpenRcaService/StreamCoreMetrics", _report, most=1),
    )


class WatchingHttpUser(CallingUser):
    """Health over HTTP, and the pages for Prometheus."""

    calls = tuple(Route(path) for path in ("/health", "/healthz", "/ping", "/version", "/metrics", "/metrics/load"))
