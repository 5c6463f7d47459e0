"""What came of a question, for a terminal, for Markdown and for machines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from attendant_loadtest.simulate.whatif import Answer

HEADS = (
    "replicas",
    "budget",
    "balancer",
    "requests/s",
    "answers/s",
    "tokens/s",
    "goodput",
    "TTFT p50",
    "p99",
    "token p50",
    "p99",
    "cached",
    "busy",
    "refused",
)
"""Of the columns. Of ``token``, each request's mean counts."""


def cells(answer: Answer) -> tuple[str, ...]:
    """A row."""
    told = answer.figures
    balancer = f"affinity, {answer.balancer}" if answer.affinity else answer.balancer
    return (
        str(answer.replicas),
        str(answer.budget),
        balancer if answer.replicas > 1 else "",
        f"{answer.rate:.1f}",
        f"{told.per_s:.1f}",
        f"{told.tokens_per_s:,.0f}",
        f"{told.goodput:.1%}",
        *(f"{each[p] * 1e3:.1f} ms" for each in (told.first_s, told.each_s) for p in ("50", "99")),
        f"{told.cached:.0%}",
        f"{told.busy:.0%}",
        f"{told.refused / max(told.requests, 1):.1%}",
    )


def markdown(rows: Iterable[tuple[str, ...]]) -> str:
    """A table of rows, of which the first has the heads."""
    heads, *rest = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, tuple("---:" for _ in heads), *rest))


def aligned(row: tuple[str, ...]) -> str:
    """A row for a terminal."""
    return "  ".join(cell.rjust(max(len(head), 9)) for head, cell in zip(HEADS, row, strict=True))


def plain(answer: Answer) -> dict[str, Any]:
    """For JSON."""
    return asdict(answer)
