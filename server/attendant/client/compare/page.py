"""A comparison as one HTML file that needs nothing else, light or dark as its reader has it."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from attendant.client.compare.report import Example, Report, Row, Section

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --best: #0a7d4f; --text: #1d2430; --back: #fff }
@media (prefers-color-scheme: dark) { :root { --best: #4fd1a0; --text: #e6e9ef; --back: #14181f } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: var(--text); background: var(--back) }
h1 { font-size: 1.6rem } h2 { font-size: 1.15rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: right; padding: .35rem .6rem; border-bottom: 1px solid var(--line);
  font-variant-numeric: tabular-nums }
th:first-child, td:first-child { text-align: left } thead th { border-bottom-width: 2px }
.best { color: var(--best); font-weight: 650 }
.bar { display: block; height: 4px; margin: 3px 0 0 auto; background: currentColor; opacity: .45; border-radius: 2px }
.note { color: color-mix(in srgb, var(--text) 65%, transparent); font-size: .9rem }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem }
@media (max-width: 40rem) { .pair { grid-template-columns: 1fr } }
blockquote { margin: 0; padding: .5rem .8rem; background: var(--soft); border-left: 3px solid var(--line);
  white-space: pre-wrap; overflow-wrap: anywhere }
"""


def page(report: Report) -> str:
    """The whole file."""
    title = f"{report.models[0]} and {report.models[1]}"
    body = "\n".join(_body(report, title))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _body(report: Report, title: str) -> Iterator[str]:
    yield f"<h1>{escape(title)}</h1>"
    yield f'<p class="note">{report.num_cases} prompts. A tick marks the better one of two figures.</p>'
    for section in report.sections:
        yield from _section(report, section)
    if report.examples:
        yield "<h2>Answers that differ</h2>"
        for example in report.examples:
            yield from _example(report, example)


def _section(report: Report, section: Section) -> Iterator[str]:
    heads = zip(report.models, report.precisions, strict=True)
    yield f"<h2>{escape(section.title)}</h2>\n<table><thead><tr><th></th>"
    for name, precision in heads:
        yield f'<th scope="col">{escape(name)} <span class="note">{escape(precision)}</span></th>'
    yield "</tr></thead><tbody>"
    for row in section.rows:
        yield from _row(row)
    yield "</tbody></table>"
    if section.note:
        yield f'<p class="note">{escape(section.note)}</p>'


def _row(row: Row) -> Iterator[str]:
    yield f'<tr><th scope="row">{escape(row.name)}</th>'
    texts = row.texts()
    if len(texts) == 1:
        yield f'<td colspan="2">{escape(texts[0])}</td></tr>'
        return
    most = max((abs(value) for value in row.values if value is not None), default=0.0)
    for index, (text, value) in enumerate(zip(texts, row.values, strict=True)):
        best = row.winner == index
        width = 100 * abs(value) / most if value is not None and most else 0.0
        bar = f'<span class="bar" style="width:{width:.0f}%"></span>' if width else ""
        start, tick = ('<td class="best">', " &#10003;") if best else ("<td>", "")
        yield f"{start}{escape(text)}{tick}{bar}</td>"
    yield "</tr>"


def _example(report: Report, example: Example) -> Iterator[str]:
    yield f'<p>{escape(example.prompt)}</p>\n<div class="pair">'
    for name, answer in zip(report.models, example.answers, strict=True):
        yield f'<div><span class="note">{escape(name)}</span><blockquote>{escape(answer.strip())}</blockquote></div>'
    yield "</div>"
