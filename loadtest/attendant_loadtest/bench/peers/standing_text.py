"""The tables of a comparison, for a terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from attendant_loadtest.bench.peers.fidelity import Fidelity
from attendant_loadtest.bench.peers.standing import LIKE, Standing, Versus, Way
from attendant_loadtest.bench.peers.table import OURS


def tables(standing: Standing) -> str:
    """One of the rows, one of the ratios, and the remarks on rows."""
    parts = [_lines(_rows(standing)), _lines(_ratios(standing))]
    parts.append("\n".join(f"{way.name}: {way.remark}" for way in standing.ways if way.remark))
    return "\n\n".join(part for part in parts if part)


def _rows(standing: Standing) -> list[list[str]]:
    measures = [measure for measure in standing.aims if any(standing.figure(w, measure) for w in standing.ways)]
    lines = [["", "MB", "nll", "KL", "same greedy", *measures]]
    for way in standing.ways:
        figures = [_number(standing.figure(way, measure)) for measure in measures]
        lines.append([way.name, _number(way.size_mb), *_fidelity(way), *figures])
    return lines


def _fidelity(way: Way) -> list[str]:
    """Of prompts, and of decodes behind a stroke where they are not the same."""
    if way.judged is None:
        return [""] * 3
    both = [found for found in (way.judged.prompt, way.judged.decode) if found is not None]
    cells = list(zip(*map(_figures, both), strict=True))
    return [" / ".join(dict.fromkeys(cell)) for cell in cells]


def _figures(found: Fidelity) -> tuple[str, str, str]:
    return f"{found.nll:.3f}", _kl(found.kl), f"{found.same:.3f}".removeprefix("0")


def _kl(value: float) -> str:
    """Two figures that count."""
    return f"{value:.1e}" if value < 0.0001 else f"{value:.2g}".removeprefix("0")


def _ratios(standing: Standing) -> list[list[str]]:
    found = standing.comparisons()
    if not found:
        return []
    lines = [["ours", "measure", f"best peer of KL <= {LIKE:g} x ours", "best of as many bits", "aim", "met"]]
    for one in found:
        met = "" if one.aim is None else {None: "nobody to compare with", True: "yes", False: "no"}[one.met]
        ours = one.ours.removeprefix(OURS).strip()
        lines.append([ours, one.what, _versus(one.like), _versus(one.same_bits), str(one.aim or ""), met])
    return lines


def _versus(found: Versus | None) -> str:
    return f"{found.ratio:.2f} ({found.peer}; {found.quiet} quiet)" if found else "none"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _lines(lines: Sequence[Sequence[str]]) -> str:
    if not lines:
        return ""
    head, *rest = lines
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *rest])
