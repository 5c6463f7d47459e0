"""The figures of a sweep as a table of Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from attendant_loadtest.sweep.windows import PERCENTILES, Figures


def table(found: Sequence[tuple[str, Figures]]) -> str:
    """A row for each protocol and concurrency; of streams also the first token and what lies between tokens."""
    streams = any(each.gap_ms for _, each in found)
    heads = ["protocol", "at a time", "calls/s", *(f"p{share} ms" for share in PERCENTILES)]
    if streams:
        heads += ["first p50 ms", "first p99 ms", "gap p50 ms", "gap p99 ms"]
    rows = [heads, ["---", *["---:"] * (len(heads) - 1)]]
    for protocol, each in found:
        mark = "" if each.stable else " (unsteady)"
        row = [protocol, str(each.concurrency), f"{each.per_s:.1f}{mark}", *_cells(each.total_ms, PERCENTILES)]
        if streams:
            row += [*_cells(each.first_ms, (50, 99)), *_cells(each.gap_ms, (50, 99))]
        rows.append(row)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cells(values: dict[int, float], shares: Sequence[int]) -> list[str]:
    return [f"{values[share]:.2f}" if share in values else "" for share in shares]
