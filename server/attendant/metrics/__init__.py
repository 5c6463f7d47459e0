"""What is counted: every Prometheus collector, declared once."""

from attendant.metrics.counts import ModelCounts, Times
from attendant.metrics.outcomes import SUCCESS, error_name
from attendant.metrics.server import Metrics
from attendant.metrics.speech import SpeechMetrics
from attendant.metrics.traces import TraceMetrics

__all__ = ["SUCCESS", "Metrics", "ModelCounts", "SpeechMetrics", "Times", "TraceMetrics", "error_name"]
