"""The names under which Prometheus finds what a server counts."""

from __future__ import annotations

from functools import cache

from attendant.metrics import Metrics
from prometheus_client.parser import text_string_to_metric_families

SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",)}


@cache
def families() -> dict[str, frozenset[str]]:
    """Of every metric of a server, the process's own included, the names that queries may ask for."""
    metrics = Metrics()
    metrics.add_model("m")
    page = metrics.render()[0].decode()
    return {
        family.name: frozenset(f"{family.name}{suffix}" for suffix in SUFFIXES.get(family.type, ("",)))
        for family in text_string_to_metric_families(page)
        if not family.name.endswith("_created")
    }


@cache
def samples() -> frozenset[str]:
    """All those names."""
    return frozenset(name for names in families().values() for name in names)
