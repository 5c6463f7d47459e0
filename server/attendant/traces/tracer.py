"""Which calls are followed to a trace that is kept: by lot at their begin, or because they were slow or failed."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from dataclasses import replace

from opentelemetry.baggage import get_all
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from attendant import __version__
from attendant.core.context import CallContext, TraceContext
from attendant.core.errors import ConfigurationError
from attendant.core.stages import Arrival, CallEnd, Trail
from attendant.metrics import TraceMetrics
from attendant.settings import TracesSettings
from attendant.traces.names import BAGGAGE
from attendant.traces.sender import Sender
from attendant.traces.spans import Spans

_EXPORTERS_LOGGER = logging.getLogger("opentelemetry.exporter.otlp.proto.grpc.exporter")

_MOST_BAGGAGE = 256
"""Characters of a value of baggage that a span has."""


class SpanTracer:
    """Follows the calls of one server, and keeps what is to be kept. Belongs to the event loop's thread.

    Args:
        addresses: host and port of the server, by protocol; those that are added later count, too.
        exporter: sends spans; by default to the collector of the settings.

    Raises:
        ConfigurationError: the collector's settings cannot be used.
    """

    def __init__(
        self,
        settings: TracesSettings,
        metrics: TraceMetrics,
        addresses: Mapping[str, tuple[str, int]],
        exporter: SpanExporter | None = None,
    ) -> None:
        self._settings = settings
        self._slow_ns = None if settings.slow_s is None else int(settings.slow_s * 1e9)
        self._sampler = _sampler(settings.ratio)
        self._ids = RandomIdGenerator()
        self._baggage = W3CBaggagePropagator()
        self._why = _LastWords()
        self._sender = Sender(
            Spans(_resource(), addresses),
            exporter or _exporter(settings.endpoint),
            metrics,
            settings.max_waiting_spans,
            lambda: self._why.last,
        )

    @property
    def share(self) -> float:
        """See :class:`attendant.core.stages.Tracer`."""
        root = getattr(self._sampler, "_root", self._sampler)
        if isinstance(root, TraceIdRatioBased):
            return root.rate
        return float(root.should_sample(None, 0, "").decision is Decision.RECORD_AND_SAMPLE)

    def keep(self, share: float) -> None:
        """See :class:`attendant.core.stages.Tracer`."""
        self._sampler = _sampler(share)

    def start(self) -> None:
        """Begin to send."""
        _EXPORTERS_LOGGER.addFilter(self._why)
        self._sender.start()

    def close(self) -> None:
        """Send what waits, within the limit of the settings. Blocks."""
        self._sender.close(self._settings.flush_timeout_s)
        _EXPORTERS_LOGGER.removeFilter(self._why)

    def begin(self, context: CallContext, arrival: Arrival) -> CallContext:
        """See :class:`attendant.core.stages.Tracer`."""
        parent = context.trace
        trace_id = self._ids.generate_trace_id() if parent is None else int(parent.trace_id, 16)
        decision = self._sampler.should_sample(_remote(parent, trace_id), trace_id, arrival.name).decision
        trail = Trail(
            arrival,
            context.arrival_ns,
            self,
            trace_id=f"{trace_id:032x}",
            span_id=f"{self._ids.generate_span_id():016x}",
            parent=parent,
            sampled=decision is Decision.RECORD_AND_SAMPLE,
            slow_ns=self._slow_ns,
            text_limit=self._settings.max_text if self._settings.text else 0,
        )
        trail.root.note(request_id=context.request_id, client=context.client)
        if context.baggage and self._settings.baggage:
            trail.root.note(**self._chosen(context.baggage))
        state = "" if parent is None else parent.state
        trace = TraceContext(trail.trace_id, trail.span_id, trail.sampled, state)
        return replace(context, trace=trace, stage=trail.root)

    def keeps(self, trail: Trail, how: CallEnd) -> bool:
        """See :class:`attendant.core.stages.Keeper`."""
        match self._settings.failed:
            case "none":
                return False
            case "server":
                return how.failed
        return how.failed or how.refused

    def take(self, trail: Trail) -> None:
        """See :class:`attendant.core.stages.Keeper`."""
        self._sender.put(trail)

    def _chosen(self, baggage: str) -> dict[str, str]:
        """Entries of a header that the settings name."""
        entries = get_all(self._baggage.extract({"baggage": baggage}))
        return {BAGGAGE + key: str(entries[key])[:_MOST_BAGGAGE] for key in self._settings.baggage if key in entries}


def _sampler(ratio: float | None) -> Sampler:
    """With ``ratio``, of calls whose callers decided nothing; None: what OTEL_TRACES_SAMPLER says, by default all."""
    return TracerProvider(shutdown_on_exit=False).sampler if ratio is None else ParentBased(TraceIdRatioBased(ratio))


def _remote(parent: TraceContext | None, trace_id: int) -> Context | None:
    if parent is None:
        return None
    flags = TraceFlags(TraceFlags.SAMPLED if parent.sampled else TraceFlags.DEFAULT)
    return set_span_in_context(NonRecordingSpan(SpanContext(trace_id, int(parent.parent_id, 16), True, flags)))


def _resource() -> Resource:
    """What the server is; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say more, and have the last word."""
    own = {"service.name": "attendant", "service.version": __version__, "service.instance.id": uuid.uuid4().hex}
    return Resource(own).merge(OTELResourceDetector().detect())


def _exporter(endpoint: str) -> SpanExporter:
    try:
        return OTLPSpanExporter(endpoint=endpoint or None)
    except Exception as error:  # the library raises bare exceptions, for whatever it reads of the environment
        raise ConfigurationError(
            f"traces cannot be sent: {error}; look at traces.endpoint and the variables OTEL_EXPORTER_OTLP_*"
        ) from error


class _LastWords(logging.Filter):
    """Keeps what the exporter says of a failure, which it would say again at every batch, for whoever tells it once."""

    def __init__(self) -> None:
        super().__init__()
        self.last = "the collector did not take them"

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep it, and let nothing pass."""
        self.last = record.getMessage()
        return False
