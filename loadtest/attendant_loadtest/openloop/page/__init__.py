"""A report as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape

from attendant_loadtest.openloop.figures import Figures, Times
from attendant_loadtest.openloop.measuring import Measured
from attendant_loadtest.openloop.page.charts import Chart, Series
from attendant_loadtest.openloop.page.heat import heat_map
from attendant_loadtest.openloop.page.style import STYLE
from attendant_loadtest.openloop.report import Report, notes, table
from attendant_loadtest.openloop.server_watch import ServerLoad

_RATE = "requests a second that were due"
MOST_GAPS = 50_000
"""Of a heat map; of more, every n-th is drawn."""


def page(report: Report) -> str:
    """The whole file."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Load: {escape(report.title)}</title>\n<style>{STYLE}</style></head>\n<body><main>\n"
        + "\n".join(_body(report))
        + "\n</main></body></html>\n"
    )


def _body(report: Report) -> Iterator[str]:
    yield f"<h1>{escape(report.title)}</h1>"
    yield "<p>All times count from when a request was due, not from when it was made.</p>"
    if report.objective is not None:
        yield f"<p>Objective: {escape(str(report.objective))}.</p>"
    if report.capacity is not None:
        yield "<h2>Capacity</h2>"
        yield from (f"<p>{escape(line)}</p>" for line in report.capacity["said"])
    yield '<h2>Runs</h2><div class="wide" tabindex="0" role="region" aria-label="Runs">'
    yield from _table(report)
    yield "</div>"
    yield from (f'<p class="note">{escape(note)}</p>' for each in report.runs for note in notes(each))
    counted = [each for each in report.runs if not each.figures.client.bottleneck]
    if len(counted) > 1:
        yield '<h2>Over the rate</h2><div class="pair">'
        yield from (chart.svg() for chart in charts(report, counted))
        yield "</div>"
    for each in counted:
        yield from _run(each)
    yield "<h2>How it was asked</h2><dl>"
    yield from (f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in report.asked.items())
    yield "</dl>"


def _table(report: Report) -> Iterator[str]:
    heads, rows = table(report)
    yield (
        "<table><thead><tr>"
        + "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
        + "</tr></thead><tbody>"
    )
    for row in rows:
        yield "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
    yield "</tbody></table>"


def charts(report: Report, runs: list[Measured]) -> list[Chart]:
    """Latency and throughput over the rate."""
    ordered = sorted((each.figures for each in runs), key=lambda figures: figures.offered_per_s)
    objective = report.objective
    ttft = (
        (f"objective {objective.ttft_s * 1e3:g} ms", objective.ttft_s * 1e3) if objective and objective.ttft_s else None
    )
    itl = (f"objective {objective.itl_s * 1e3:g} ms", objective.itl_s * 1e3) if objective and objective.itl_s else None
    through = [_series("answered", ordered, lambda each: each.completed_per_s)]
    if objective is not None:
        through.append(_series("goodput", ordered, lambda each: each.goodput_per_s))
    return [
        Chart("Time to first token, ms", _RATE, _percentiles(ordered, lambda each: each.ttft), ttft, log=True),
        Chart("Between two tokens, ms", _RATE, _percentiles(ordered, lambda each: each.itl), itl, log=True),
        Chart("Requests a second", _RATE, through),
        Chart("Tokens a second", _RATE, [_series("tokens", ordered, lambda each: each.tokens_per_s)]),
    ]


def _percentiles(ordered: list[Figures], times: Callable[[Figures], Times | None]) -> list[Series]:
    def at(share: int) -> Callable[[Figures], float | None]:
        def value(each: Figures) -> float | None:
            found = times(each)
            return found.by_percentile[share] if found else None

        return value

    return [_series(f"p{share}", ordered, at(share)) for share in (50, 90, 99)]


def _series(name: str, ordered: list[Figures], value: Callable[[Figures], float | None]) -> Series:
    pairs = ((each.offered_per_s, value(each)) for each in ordered)
    return Series(name, [(rate, found) for rate, found in pairs if found is not None])


def _run(each: Measured) -> Iterator[str]:
    firsts = [(one.planned.at_s, one.ttft_s * 1e3) for one in each.samples if one.ttft_s is not None]
    gaps = [point for one in each.samples for point in _gaps(one.first_s, one.gaps)]
    yield f'<h2>{escape(each.name)}</h2><div class="pair">'
    if firsts:
        yield heat_map("Time to first token", firsts)
    if gaps:
        yield heat_map("Between two tokens", gaps[:: 1 + len(gaps) // MOST_GAPS])
    yield "</div>"
    if each.server is not None:
        yield f'<p class="note">Of the server: {escape("; ".join(_server(each.server)))}.</p>'


def _server(said: ServerLoad) -> Iterator[str]:
    yield f"steps went on {said.busy:.0%} of the time, with {said.rows:.1f} sequences each"
    yield f"{said.running[0]:.1f} requests ran and {said.waiting[0]:.1f} waited on average"
    yield f"up to {said.kv[1]:.0%} of KV memory was held, {said.preemptions:.0f} preemptions"
    yield f"{said.hit_rate:.0%} of the prompts' tokens were cached"


def _gaps(first_s: float | None, gaps: list[tuple[float, int]]) -> Iterator[tuple[float, float]]:
    at_s = first_s or 0.0
    for seconds, tokens in gaps:
        at_s += seconds
        yield at_s, 1e3 * seconds / tokens
