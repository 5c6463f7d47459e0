"""The few forms that most queries of dashboards have."""

from __future__ import annotations

from deploy.grafana.panel import Query

SERIES = 'job=~"$job", model_name=~"$model"'
"""Matchers of what the reader chose."""
WINDOW = "[$__rate_interval]"
MODEL = "{{model_name}}"


def rate(metric: str, matchers: str = "") -> str:
    """A counter's growth a second, of each series."""
    return f"rate({metric}{{{SERIES}{', ' if matchers else ''}{matchers}}}{WINDOW})"


def total(metric: str, *by: str, matchers: str = "") -> str:
    """A counter's growth a second, summed by labels; by the model if none are named."""
    return f"sum by ({', '.join(by or ('model_name',))}) ({rate(metric, matchers)})"


def value(metric: str, *by: str) -> str:
    """A gauge, summed by labels; by the model if none are named."""
    return f"sum by ({', '.join(by or ('model_name',))}) ({metric}{{{SERIES}}})"


def quantile(share: float, histogram: str, *by: str) -> str:
    """Of a histogram, by labels; by the model if none are named."""
    return f"histogram_quantile({share:g}, {total(f'{histogram}_bucket', *(by or ('model_name',)), 'le')})"


def mean(histogram: str, *by: str) -> str:
    """The mean of a histogram's events, by labels; by the model if none are named."""
    return f"{total(f'{histogram}_sum', *by)} / {total(f'{histogram}_count', *by)}"


def quantiles(histogram: str, *by: str) -> tuple[Query, ...]:
    """The middle, and what one in ten and one in a hundred exceed, by model or other labels."""
    legend = " ".join(f"{{{{{label}}}}}" for label in by or ("model_name",))
    return tuple(Query(quantile(share, histogram, *by), f"{legend} p{share * 100:g}") for share in (0.5, 0.9, 0.99))


def spread(histogram: str) -> tuple[Query, ...]:
    """How many events fell into each bucket, over time."""
    return (Query(f"sum by (le) (increase({histogram}_bucket{{{SERIES}}}{WINDOW}))", "{{le}}"),)
