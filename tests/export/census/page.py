"""docs/census.md: written of results, and read back, so that some can be run again without the rest."""

from __future__ import annotations

import math
import re
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.export.census.kinds import KINDS
from tests.export.census.outcome import DIFFER, Result
from tests.export.census.prose import FOOT, HEAD, NEEDED

PATH = Path(__file__).parents[3] / "docs" / "census.md"
_WIDTH = 140
_COLUMNS = ("right", "refused", DIFFER, "opaque", "wrong", "traceback", "not tried")
_HEADINGS = {
    "right": "Right",
    "refused": "Refused",
    DIFFER: "Refused, because the export found that answers differ",
    "opaque": "Refused, and the error does not say why in words of the model",
    "wrong": "Wrong: exported, and answers otherwise",
    "traceback": "Failed unexpectedly",
    "not tried": "Not tried",
}
_COLUMN_OF = {heading: column for column, heading in _HEADINGS.items()}
_NOT_RUN = "no census has come to it yet"
_BOUND = re.compile(r"differ by less than (\S+) ")
Results = dict[tuple[str, str], Result]


def reason_of(result: Result) -> str:
    """The detail of a result without what only this class has in it: its names, and numbers that were measured."""
    said = re.sub(r"^cannot export '[^']*': ", "", result.detail)
    for name in (result.class_name, result.model_type):
        said = re.sub(rf"(?<![\w-])'?{re.escape(name)}'?(?![\w-])", "it", said)
    said = re.sub(r"/tmp/\S*", "the folder", said)
    said = re.sub(r"\d+\.\d+(e[-+]?\d+)?|\d+e-\d+|\d[\d,]{4,}", "...", said)
    return " ".join(said.replace("|", "/").split())


def column_of(result: Result) -> str:
    """Where a result is counted."""
    return DIFFER if result.outcome == "refused" and result.detail.startswith(DIFFER) else result.outcome


def page_of(results: Results, versions: str) -> str:
    """The whole page."""
    by_kind: dict[str, list[Result]] = defaultdict(list)
    for key in sorted(results):
        by_kind[results[key].kind].append(results[key])
    rows = [_counts(kind, by_kind[kind]) for kind in KINDS if by_kind[kind]]
    total = _row("all", [result for kind in KINDS for result in by_kind[kind]])
    head = "| kind | classes | " + " | ".join(_COLUMNS) + " |\n" + "|---" * (2 + len(_COLUMNS)) + "|\n"
    sections = "".join(_section(kind, by_kind[kind]) for kind in KINDS if by_kind[kind])
    return (
        HEAD.format(versions=versions) + head + "".join(rows) + total + FOOT.format(needed=_needed(results)) + sections
    )


def read(page: str | None = None) -> Results:
    """The results that a page tells, by default the committed one: outcomes and reasons, without errors and times."""
    kind_of = {kind.title: name for name, kind in KINDS.items()}
    found: Results = {}
    kind, column, classes = "", "", {}
    for block in re.split(r"\n\n|\n(?=- )", page or PATH.read_text(encoding="utf-8")):
        text = " ".join(block.split())
        if text.startswith("## "):
            kind = kind_of.get(text[3:], "")
            classes = KINDS[kind].classes() if kind else {}
            column = ""
        elif kind and (heading := re.match(r"\*\*(.+?)\*\* \(\d+\):(.*)", text)):
            remark = re.match(r"(.+?), and (.+)", heading[1]) if heading[1].startswith("Right, and") else None
            column = "right" if remark else _COLUMN_OF[heading[1]]
            _add(found, kind, classes, column, remark[2] if remark else "", heading[2])
        elif kind and column and (item := re.match(r"- (.+) \(\d+\): ([^:]+)$", text)):
            _add(found, kind, classes, column, item[1], item[2])
    return found


def write_page(results: Iterable[Result]) -> None:
    """Writes the page of ``results`` and of what it has about other classes that there still are."""
    from attendant_export.toolchain import versions

    told = read() | {result.key: result for result in results}
    found = {}
    for kind in KINDS:
        for model_type, name in KINDS[kind].classes().items():
            found[kind, model_type] = told.get((kind, model_type)) or Result(
                kind, model_type, name, "not tried", _NOT_RUN
            )
    PATH.write_text(page_of(found, f"transformers {versions()['transformers']}"), encoding="utf-8")


def missing() -> set[tuple[str, str]]:
    """The classes, by kind and model type, that no census has come to."""
    told = read()
    every = {(kind, model_type) for kind in KINDS for model_type in KINDS[kind].classes()}
    return {key for key in every if key not in told or told[key].detail == _NOT_RUN}


def bounds() -> dict[str, float]:
    """By kind, what the committed page says that errors are below."""
    found = {}
    for kind, section in _sections().items():
        if bound := _BOUND.search(section):
            found[kind] = float(bound[1])
    return found


def _sections() -> Mapping[str, str]:
    titles = {kind.title: name for name, kind in KINDS.items()}
    parts = re.split(r"^## (.+)$", PATH.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {titles[title]: text for title, text in zip(parts[1::2], parts[2::2], strict=True) if title in titles}


def _add(found: Results, kind: str, classes: Mapping[str, str], column: str, detail: str, names: str) -> None:
    outcome = "refused" if column == DIFFER else column
    for name in filter(None, (name.strip() for name in names.split(","))):
        found[kind, name] = Result(kind, name, classes.get(name, ""), outcome, detail)


def _counts(kind: str, results: list[Result]) -> str:
    title = KINDS[kind].title
    anchor = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    return _row(f"[{title}](#{anchor})", results)


def _row(name: str, results: list[Result]) -> str:
    counts = [sum(column_of(result) == column for result in results) for column in _COLUMNS]
    return "| " + " | ".join(map(str, (name, len(results), *counts))) + " |\n"


def _section(kind: str, results: list[Result]) -> str:
    lines = [f"\n## {KINDS[kind].title}\n"]
    errors = [result.error for result in results if result.error is not None]
    bound = max([10.0 ** math.ceil(math.log10(3 * max(errors)))] if errors and max(errors) > 0 else [0.0])
    bound = max(bound, bounds().get(kind, 0.0) if PATH.exists() else 0.0)
    if bound:
        lines.append(
            f"`--kind {kind}`. Outputs of those that are right differ by less than {bound:.0e} of their spread.\n"
        )
    for column in _COLUMNS:
        here = [result for result in results if column_of(result) == column]
        if column == "right":
            for remark in sorted({result.detail for result in here}):
                names = [result.model_type for result in here if result.detail == remark]
                heading = f"Right, and {remark}" if remark else "Right"
                lines.append(_wrapped(f"**{heading}** ({len(names)}): ", names))
        elif here:
            lines.append(f"**{_HEADINGS[column]}** ({len(here)}):\n")
            lines += _reasons(here)
    return "\n".join(lines)


def _reasons(results: Iterable[Result]) -> list[str]:
    groups: dict[str, list[str]] = defaultdict(list)
    for result in results:
        groups[reason_of(result)].append(result.model_type)
    items = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    lines = [_wrapped(f"- {reason} ({len(names)}): ", names, indent="  ").rstrip("\n") for reason, names in items]
    return ["\n".join(lines) + "\n"]


def _wrapped(start: str, names: Iterable[str], indent: str = "") -> str:
    text = start + ", ".join(names)
    wrapped = textwrap.wrap(text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(wrapped) + "\n"


def _needed(results: Results) -> str:
    counts = [0] * len(NEEDED)
    for result in results.values():
        if result.outcome != "right":
            places = (place for place, (pattern, *_) in enumerate(NEEDED) if re.search(pattern, result.detail))
            place = next(places, None)
            if place is not None:
                counts[place] += 1
    rows = [f"| {what} | {count} | {need} |\n" for (_, what, need), count in zip(NEEDED, counts, strict=True) if count]
    return "| what the model does | classes | what it would need |\n|---|---|---|\n" + "".join(rows)
