"""A call's trail as spans: one of the server, those of its stages within it, and one of each run that it shared."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from attendant import __version__
from attendant.core.errors import AttendantError
from attendant.core.stages import SharedRun, Stage, Trail, Value
from attendant.metrics import error_name
from attendant.traces.names import peer, span_attributes, span_name

MOST_LINKS = 128
"""Calls that a shared run names (OpenTelemetry's own limit)."""

_SCOPE = InstrumentationScope("attendant", __version__)
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_OK, _ERROR = Status(StatusCode.UNSET), StatusCode.ERROR
_CANCELS = (asyncio.CancelledError, GeneratorExit)


class Spans:
    """Makes spans of trails.

    Args:
        resource: what the server is.
        addresses: host and port of the server, by protocol.
    """

    def __init__(self, resource: Resource, addresses: Mapping[str, tuple[str, int]]) -> None:
        self._resource = resource
        self._addresses = addresses
        self._ids = RandomIdGenerator()

    def of(self, trail: Trail) -> Iterator[ReadableSpan]:
        """The spans of a trail that is complete, the server's first."""
        offset_ns = time.time_ns() - time.monotonic_ns()
        parent = trail.parent
        state = TraceState.from_header([parent.state]) if parent is not None and parent.state else None
        trace_id = int(trail.trace_id, 16)
        own = SpanContext(trace_id, int(trail.span_id, 16), False, _SAMPLED, state)
        above = SpanContext(trace_id, int(parent.parent_id, 16), True, _SAMPLED, state) if parent is not None else None
        yield self._span(
            trail.root,
            own,
            above,
            offset_ns,
            kind=SpanKind.INTERNAL if trail.arrival.protocol == "part" else SpanKind.SERVER,
            attributes=self._of_call(trail),
            status=_status(trail),
        )
        for stage in trail.root.parts:
            yield from self._below(stage, own, offset_ns, trail)

    def _below(self, stage: Stage, above: SpanContext, offset_ns: int, trail: Trail) -> Iterator[ReadableSpan]:
        own = SpanContext(above.trace_id, self._ids.generate_span_id(), False, _SAMPLED, above.trace_state)
        links: list[Link] = []
        if stage.run is not None:
            if stage.run.span is None:
                yield self._shared(stage.run, offset_ns)
            assert isinstance(stage.run.span, SpanContext), "nobody else writes it"
            links.append(Link(stage.run.span))
        attributes = span_attributes(stage.attributes)
        status = _OK
        if stage.error is not None and issubclass(stage.error, _CANCELS):
            attributes["attendant.cancelled"] = True
        elif stage.error is not None:
            attributes["error.type"] = _error_type(stage.error)
            status = Status(_ERROR)
        stage.end_ns = stage.end_ns or trail.root.end_ns
        yield self._span(stage, own, above, offset_ns, attributes=attributes, status=status, links=links)
        for part in stage.parts:
            yield from self._below(part, own, offset_ns, trail)

    def _shared(self, run: SharedRun, offset_ns: int) -> ReadableSpan:
        """A run over rows of several calls is no part of any one's trace: it is a trace of its own, and linked."""
        run.span = own = SpanContext(self._ids.generate_trace_id(), self._ids.generate_span_id(), False, _SAMPLED)
        kept = [trail for trail in run.trails if trail.sampled][:MOST_LINKS]
        return ReadableSpan(
            f"batch {run.attributes.get('model', '')}".rstrip(),
            own,
            None,
            self._resource,
            span_attributes(run.attributes),
            links=[Link(SpanContext(int(t.trace_id, 16), int(t.span_id, 16), False, _SAMPLED)) for t in kept],
            start_time=run.begin_ns + offset_ns,
            end_time=run.end_ns + offset_ns,
            instrumentation_scope=_SCOPE,
        )

    def _of_call(self, trail: Trail) -> dict[str, Value]:
        how, protocol = trail.how, trail.arrival.protocol
        assert how is not None, "it is complete"
        attributes = span_attributes(trail.root.attributes)
        if protocol == "grpc":
            attributes |= {
                "rpc.system.name": "grpc",
                "rpc.method": trail.arrival.name,
                "rpc.response.status_code": how.status,
            }
        elif protocol == "http":
            attributes["http.response.status_code"] = int(how.status)
        if how.failed:
            attributes["error.type"] = how.status
        if trail.num_dropped:
            attributes["attendant.dropped_stages"] = trail.num_dropped
        host, port = self._addresses.get(protocol, ("", 0))
        if host:
            attributes |= {"server.address": host, "server.port": port}
        client = attributes.pop("attendant.client", "")
        return attributes | peer(str(client))

    def _span(
        self,
        stage: Stage,
        own: SpanContext,
        above: SpanContext | None,
        offset_ns: int,
        *,
        attributes: Mapping[str, Value],
        status: Status,
        kind: SpanKind = SpanKind.INTERNAL,
        links: list[Link] | None = None,
    ) -> ReadableSpan:
        return ReadableSpan(
            span_name(stage.name, stage.attributes),
            own,
            above,
            self._resource,
            attributes,
            links=links or (),
            kind=kind,
            status=status,
            start_time=stage.begin_ns + offset_ns,
            end_time=stage.end_ns + offset_ns,
            instrumentation_scope=_SCOPE,
        )


def _status(trail: Trail) -> Status:
    """Of the whole call. What the caller heard may quote what it sent, and stands there only if text may."""
    assert trail.how is not None, "it is complete"
    if not trail.how.failed:
        return _OK
    return Status(_ERROR, trail.how.message[: trail.text_limit] or None if trail.text_limit else None)


def _error_type(error: type[BaseException]) -> str:
    return error_name(error) if issubclass(error, AttendantError) else error.__qualname__
