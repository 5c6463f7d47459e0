"""What is counted: every Prometheus collector, declared once."""

from attendant.metrics.counts import ModelCounts, Times
from attendant.metrics.outcomes import SUCCESS, error_name
from attendant.metrics.server import Metrics
from attendant.metrics.speech import SpeechMetrics

__all__ = ["SUCCESS", "Metrics", "ModelCounts", "SpeechMetrics", "Times", "error_name"]
