"""Which metrics a query asks for, and those of others that ours may ask for: DCGM's, a node's, Prometheus's own."""

from __future__ import annotations

import re
from collections.abc import Iterator

DCGM = frozenset(
    {
        "DCGM_FI_DEV_FB_FREE",
        "DCGM_FI_DEV_FB_USED",
        "DCGM_FI_DEV_GPU_TEMP",
        "DCGM_FI_DEV_GPU_UTIL",
        "DCGM_FI_DEV_MEMORY_TEMP",
        "DCGM_FI_DEV_MEM_CLOCK",
        "DCGM_FI_DEV_MEM_COPY_UTIL",
        "DCGM_FI_DEV_POWER_USAGE",
        "DCGM_FI_DEV_SM_CLOCK",
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
        "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS",
        "DCGM_FI_DEV_XID_ERRORS",
    }
)
"""Of the counters that dcgm-exporter gives by default."""

NODE = frozenset(
    {
        "node_cpu_seconds_total",
        "node_disk_read_bytes_total",
        "node_filesystem_avail_bytes",
        "node_filesystem_size_bytes",
        "node_load1",
        "node_memory_MemAvailable_bytes",
        "node_memory_MemTotal_bytes",
        "node_network_receive_bytes_total",
        "node_network_transmit_bytes_total",
        "node_pressure_cpu_waiting_seconds_total",
        "node_pressure_memory_waiting_seconds_total",
        "node_vmstat_pgmajfault",
    }
)
"""Of the node exporter's, with its default collectors on Linux."""

SCRAPE = frozenset({"up", "scrape_duration_seconds"})
"""What Prometheus says of each target that it scrapes."""

_ASIDE = re.compile(
    r'"[^"]*"'  # strings
    r"|\{[^{}]*\}"  # matchers
    r"|\[[^\]]*\]"  # ranges
    r"|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)"  # labels
)
_WORD = re.compile(r"(?<![\w:.$])[a-zA-Z_:][a-zA-Z0-9_:]*(?!\s*\(|[a-zA-Z0-9_:])")
_OPERATORS = frozenset({"and", "or", "unless", "bool", "offset", "inf", "nan"})


def metrics_of(query: str) -> Iterator[str]:
    """Names of the metrics in a query of PromQL; those of a histogram as they are asked for, ``..._bucket``."""
    bare = _ASIDE.sub(" ", re.sub(r'"[^"]*"', " ", query))
    for match in _WORD.finditer(bare):
        if match[0].lower() not in _OPERATORS:
            yield match[0]
