"""Medians, ratios, aims and the table."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from attendant_loadtest.bench.encoders_measurement import Encoded
from attendant_loadtest.bench.encoders_rounds import (
    ALONE,
    ALONE_BARE,
    LIMIT,
    LOADED,
    MIXED,
    PADDED,
    PEER_LOADED,
    PEER_MIXED,
    WIDE,
    Plan,
    Results,
    Round,
)

Figure = Callable[[Round], float]


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison: medians of both sides, and the median of the rounds' ratios (or differences), in which both were
    measured one after the other.

    ``quiet``: rounds in which foreign processes left the machine alone; if there were any, only they count. ``others``:
    the processors that foreign processes used in the rounds that count, at worst. ``met``: None where there is no aim.
    """

    model: str
    precision: str
    what: str
    unit: str
    base: float
    ours: float
    compared: float
    aim: str
    met: bool | None
    quiet: int
    others: float


def rows(model: str, results: Mapping[str, Results], plan: Plan) -> list[Row]:
    """The table's rows of one model, whose results are by precision."""
    found = []
    for precision, of in results.items():
        found += _rows(model, precision, of, plan)
    if {"fp32", "int8"} <= results.keys():
        found.append(_precisions(model, results, plan))
    return found


def table(all_rows: Sequence[Row]) -> str:
    """The table, for a terminal and for Markdown."""
    head = ["model", "precision", "what", "unit", "base", "server", "compared", "aim", "met", "quiet rounds", "others"]
    lines = [head, ["---"] * len(head), *map(_cells, all_rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def as_json(all_rows: Sequence[Row], results: Mapping[str, Mapping[str, Results]], plan: Plan) -> dict[str, object]:
    """The table, and every measurement by model and precision, for a machine."""
    measured = {
        model: {
            precision: [{kind: _summary(found) for kind, found in measured.items()} for measured in of.rounds]
            for precision, of in by_precision.items()
        }
        for model, by_precision in results.items()
    }
    return {"plan": asdict(plan), "rows": [asdict(row) for row in all_rows], "rounds": measured}


def _rows(model: str, precision: str, of: Results, plan: Plan) -> list[Row]:
    def row(what: str, unit: str, kinds: tuple[str, str], figure: Callable[[Encoded], float], aim: str) -> Row:
        base, ours = kinds
        rounds, quiet = _counting(of.rounds, kinds, plan.quiet)
        bases, all_ours = [figure(found[base]) for found in rounds], [figure(found[ours]) for found in rounds]
        pairs = zip(bases, all_ours, strict=True)
        by_difference = aim.endswith("ms")
        compared = statistics.median(b - a if by_difference else b / a for a, b in pairs)
        return Row(
            *(model, precision, what, unit, statistics.median(bases), statistics.median(all_ours), compared),
            aim=aim,
            met=_met(compared, aim),
            quiet=quiet,
            others=max(found[kind].others for found in rounds for kind in kinds),
        )

    equal = f"{plan.length} tokens"
    mixed = f"{plan.shortest}..{plan.longest} tokens, {plan.clients} clients"
    found = [
        row(f"{equal}: bare, batches of {of.best_batch}", "seq/s", (LIMIT, LOADED), _per_s, ">= 0.92"),
        row(f"{mixed}: padded in arrival order", "seq/s", (PADDED, MIXED), _per_s, ">= 2"),
        row(f"{mixed}: padded, p99", "ms", (PADDED, MIXED), lambda found: found.latency_ms(0.99), "<= 1"),
        row(f"{equal}, one client: bare, p50", "ms", (ALONE_BARE, ALONE), lambda f: f.latency_ms(0.5), "<= 1.5 ms"),
        _around(model, precision, of, plan),
    ]
    if PEER_MIXED in of.rounds[0]:
        peer = "infinity-emb, torch"
        found.append(row(f"{equal}, {plan.clients} clients: {peer}", "seq/s", (PEER_LOADED, LOADED), _per_s, ""))
        found.append(row(f"{mixed}: {peer}", "seq/s", (PEER_MIXED, MIXED), _per_s, ""))
        found.append(row(f"{mixed}: {peer}, p99", "ms", (PEER_MIXED, MIXED), lambda f: f.latency_ms(0.99), ""))
    return found


def _around(model: str, precision: str, of: Results, plan: Plan) -> Row:
    """What a call takes besides the model's run, by the server's own clock: unlike the difference of two latencies, it
    does not hold how much one run differs from another."""
    rounds, quiet = _counting(of.rounds, (ALONE,), plan.quiet)
    total = statistics.median(found[ALONE].latency_ms(0.5) for found in rounds)
    around = statistics.median(found[ALONE].figures["around_compute_ms"] for found in rounds)
    what = f"{plan.length} tokens, one client: the model's run inside the server"
    others = max(found[ALONE].others for found in rounds)
    return Row(model, precision, what, "ms", total - around, total, around, "", None, quiet, others)


def _precisions(model: str, results: Mapping[str, Results], plan: Plan) -> Row:
    pairs = [
        {"fp32": fp32[WIDE], "int8": int8[WIDE]}
        for fp32, int8 in zip(results["fp32"].rounds, results["int8"].rounds, strict=True)
    ]
    rounds, quiet = _counting(pairs, ("fp32", "int8"), plan.quiet)
    ratio = statistics.median(pair["int8"].per_s / pair["fp32"].per_s for pair in rounds)
    return Row(
        model=model,
        precision="int8",
        what=f"bare, batches of {plan.wide_batch} x {plan.length} tokens: int8 against fp32",
        unit="seq/s",
        base=statistics.median(pair["fp32"].per_s for pair in rounds),
        ours=statistics.median(pair["int8"].per_s for pair in rounds),
        compared=ratio,
        aim=">= 2.5",
        met=_met(ratio, ">= 2.5"),
        quiet=quiet,
        others=max(measured.others for pair in rounds for measured in pair.values()),
    )


def _counting(rounds: Sequence[Round], kinds: Sequence[str], quiet: float) -> tuple[Sequence[Round], int]:
    """The rounds that count, and how many were quiet."""
    found = [measured for measured in rounds if max(measured[kind].others for kind in kinds) <= quiet]
    return found or rounds, len(found)


def _per_s(found: Encoded) -> float:
    return found.per_s


def _met(compared: float, aim: str) -> bool | None:
    if not aim:
        return None
    sign, bound, *_ = aim.split()
    return compared >= float(bound) if sign == ">=" else compared <= float(bound)


def _summary(found: Encoded) -> dict[str, float]:
    latencies = {f"p{share}_ms": found.latency_ms(share / 100) for share in (50, 90, 99)}
    main = {"sequences": found.sequences, "tokens": found.tokens, "wall_s": found.wall_s, "others": found.others}
    return {**main, "per_s": found.per_s, **latencies, **found.figures}


def _cells(row: Row) -> list[str]:
    digits = 1 if row.unit == "seq/s" else 2
    met = "" if row.met is None else "yes" if row.met else "no"
    numbers = [f"{row.base:,.{digits}f}", f"{row.ours:,.{digits}f}", f"{row.compared:.3f}"]
    return [row.model, row.precision, row.what, row.unit, *numbers, row.aim, met, str(row.quiet), f"{row.others:.2f}"]
