"""A collector: a gRPC server of OpenTelemetry's TraceService, which keeps what it is sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as rpc

KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
STATUSES = ("UNSET", "OK", "ERROR")


@dataclass(frozen=True)
class Link:
    trace_id: str
    span_id: str


@dataclass(frozen=True)
class Seen:
    """A span as it came over the wire; times in nanoseconds since 1970."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: str
    begin_ns: int
    end_ns: int
    status: str
    message: str
    state: str
    attributes: Mapping[str, Any]
    links: tuple[Link, ...] = ()


@dataclass
class Collector:
    """``broken``: answers UNAVAILABLE. ``stuck``: answers never, until it is set."""

    spans: list[Seen] = field(default_factory=list)
    resources: list[Mapping[str, Any]] = field(default_factory=list)
    metadata: list[Mapping[str, str]] = field(default_factory=list)
    broken: bool = False
    stuck: threading.Event | None = None
    num_calls: int = 0
    endpoint: str = ""

    def take(self, request: pb.ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            self.resources.append(_attributes(resource.resource.attributes))
            for scope in resource.scope_spans:
                self.spans += [_seen(span) for span in scope.spans]

    def named(self, name: str) -> Seen:
        """The span of that name, of which there is one."""
        (found,) = [span for span in self.spans if span.name == name]
        return found

    def parts(self, above: Seen) -> list[Seen]:
        """Those within another one, in the order that they begin."""
        return sorted((s for s in self.spans if s.parent_id == above.span_id), key=lambda s: s.begin_ns)

    def roots(self) -> list[Seen]:
        """Of servers."""
        return [span for span in self.spans if span.kind == "SERVER"]


class _Service(rpc.TraceServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def Export(self, request: pb.ExportTraceServiceRequest, context: Any) -> pb.ExportTraceServiceResponse:  # noqa: N802
        collector = self._collector
        collector.num_calls += 1
        if collector.stuck is not None:
            collector.stuck.wait()
        if collector.broken:
            context.abort(grpc.StatusCode.UNAVAILABLE, "out of order")
        collector.metadata.append(dict(context.invocation_metadata()))
        collector.take(request)
        return pb.ExportTraceServiceResponse()


@contextmanager
def collecting(port: int = 0) -> Iterator[Collector]:
    """A collector on the loopback."""
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(4))
    rpc.add_TraceServiceServicer_to_server(_Service(collector), server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    collector.endpoint = f"http://127.0.0.1:{port}"
    try:
        yield collector
    finally:
        if collector.stuck is not None:
            collector.stuck.set()
        server.stop(0).wait()


def _seen(span: Any) -> Seen:
    return Seen(
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.name,
        KINDS[span.kind],
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        STATUSES[span.status.code],
        span.status.message,
        span.trace_state,
        _attributes(span.attributes),
        tuple(Link(link.trace_id.hex(), link.span_id.hex()) for link in span.links),
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(part) for part in value.array_value.values]
    assert kind in ("string_value", "int_value", "double_value", "bool_value"), MessageToDict(value)
    return getattr(value, kind)
