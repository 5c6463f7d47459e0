"""Medians, ratios and the table."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from attendant_loadtest.bench.measurement import Measurement
from attendant_loadtest.bench.rounds import BARE, ENGINE, SERVER, WAYS, Plan, Results


@dataclass(frozen=True, slots=True)
class Row:
    """One precision at one concurrency. Tokens a second are medians; ratios are medians of the rounds' ratios, in
    which both sides were measured one after the other.

    Only quiet rounds count, if there were any: those in which foreign processes left the machine alone. ``quiet`` is
    how many there were, ``others`` the processors that foreign processes used in the rounds that count, at worst.
    """

    precision: str
    concurrency: int
    bare: float
    engine: float
    server: float
    engine_ratio: float
    server_ratio: float
    quiet: int
    others: float
    figures: Mapping[str, float]


def rows(precision: str, results: Results, plan: Plan) -> list[Row]:
    """The table's rows of one precision."""
    return [_row(precision, c, results, plan.quiet) for c in plan.concurrency]


def table(all_rows: Sequence[Row]) -> str:
    """The table, for a terminal and for Markdown."""
    head = ["precision", "requests", "bare tok/s", "engine tok/s", "server tok/s", "engine/bare", "server/bare"]
    head += ["prompt tok/s", "first token ms p50/p99", "inter-token ms p50/p99"]
    head += ["host us/step", "us/seq-step", "server us/tok", "client us/tok", "quiet rounds", "others"]
    lines = [head, ["---"] * len(head), *map(_cells, all_rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def as_json(all_rows: Sequence[Row], plan: Plan) -> dict[str, object]:
    """The rows, for a machine."""
    return {"plan": asdict(plan), "rows": [asdict(row) for row in all_rows]}


def _row(precision: str, concurrency: int, results: Results, quiet: float) -> Row:
    rounds = list(zip(*(results[concurrency, way] for way in WAYS), strict=True))
    quiet_rounds = [ways for ways in rounds if max(m.others for m in ways) <= quiet]
    bare, engine, server = zip(*(quiet_rounds or rounds), strict=True)
    figures = {f"{BARE}_{name}": value for name, value in _medians(bare).items()}
    figures |= {f"{ENGINE}_{name}": value for name, value in _medians(engine).items()}
    figures |= {f"{SERVER}_{name}": value for name, value in _medians(server).items()}
    return Row(
        precision=precision,
        concurrency=concurrency,
        bare=statistics.median(m.tokens_per_s for m in bare),
        engine=statistics.median(m.tokens_per_s for m in engine),
        server=statistics.median(m.tokens_per_s for m in server),
        engine_ratio=_ratio(engine, bare),
        server_ratio=_ratio(server, bare),
        quiet=len(quiet_rounds),
        others=max(m.others for m in (*bare, *engine, *server)),
        figures=figures,
    )


def _medians(measurements: Sequence[Measurement]) -> dict[str, float]:
    names = measurements[0].figures
    return {name: statistics.median(m.figures[name] for m in measurements) for name in names}


def _ratio(these: Sequence[Measurement], those: Sequence[Measurement]) -> float:
    return statistics.median(a.tokens_per_s / b.tokens_per_s for a, b in zip(these, those, strict=True))


def _cells(row: Row) -> list[str]:
    f = row.figures
    return [
        row.precision,
        str(row.concurrency),
        f"{row.bare:,.0f}",
        f"{row.engine:,.0f}",
        f"{row.server:,.0f}",
        f"{row.engine_ratio:.3f}",
        f"{row.server_ratio:.3f}",
        f"{f['bare_prompt_tokens_per_s']:,.0f}",
        f"{f['server_first_token_p50_ms']:.0f} / {f['server_first_token_p99_ms']:.0f}",
        f"{f['server_inter_token_p50_ms']:.1f} / {f['server_inter_token_p99_ms']:.1f}",
        f"{f['engine_host_us_per_step']:.0f}",
        f"{f['engine_host_us_per_sequence_step']:.1f}",
        f"{f['server_server_us_per_token']:.0f}",
        f"{f['server_client_us_per_token']:.0f}",
        str(row.quiet),
        f"{row.others:.2f}",
    ]
