"""What the pages say is so: names of files, errors, settings and metrics exist, and nothing is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from attendant.rpc.status import CODES

from tests.docs import metrics_page, settings_page
from tests.docs.api_pages import calls, read_files
from tests.docs.markdown import REPOSITORY, pages

README_LINES = 150
HOUSES = ("", "server/attendant", "export/attendant_export", "loadtest/attendant_loadtest", "tests")


def text_of(page: str) -> str:
    return (REPOSITORY / page).read_text(encoding="utf-8")


def test_the_readme_is_short() -> None:
    assert len(text_of("README.md").splitlines()) <= README_LINES


def named_files(page: str) -> Iterator[str]:
    """Words of code that are paths: with a slash inside or at the end, or files of Python."""
    for word in re.findall(r"`([\w./*-]+)`", text_of(page)):
        if word.startswith((".venv", "out/")):  # what commands make
            continue
        if re.fullmatch(r"[\w.-]+(/[\w.*-]+)+/?|\w+/|[\w-]+\.(py|md|proto|toml|yml)", word):
            yield word


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/gpu.md", "docs/alerts.md"]
)
def test_files_that_are_named_exist(page: str) -> None:
    lost = [w for w in named_files(page) if not any(list((REPOSITORY / house).glob(w)) for house in HOUSES)]
    assert not lost


LINK = re.compile(r"\]\((?!http)([^)#]*)(?:#([^)]*))?\)")


@pytest.mark.parametrize("page", pages())
def test_links_lead_somewhere(page: str) -> None:
    here = (REPOSITORY / page).parent
    for path, anchor in LINK.findall(text_of(page)):
        target = here / path if path else REPOSITORY / page
        assert target.exists(), path
        if anchor:
            assert anchor in set(anchors(target)), f"{path}#{anchor}"


def anchors(page: Path) -> Iterator[str]:
    """Of the headings of a page, as code hosts and mkdocs make them."""
    for heading in re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE):
        yield re.sub(r"[^\w\s-]", "", heading).strip().lower().replace(" ", "-")


def test_every_error_is_explained_to_callers_and_to_operators() -> None:
    sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^#|\Z)", text_of("docs/api/errors.md"), re.DOTALL | re.MULTILINE))
    rows = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", text_of("docs/operating.md"), re.MULTILINE))
    for error, code in CODES.items():
        assert f"`{error.__name__}`" in sections[code.name]
        assert rows.pop(error.__name__) == code.name
    assert not rows
    assert set(sections) == {code.name for code in CODES.values()}


def test_every_call_says_how_it_fails() -> None:
    codes = {code.name for code in CODES.values()}
    for file in read_files().values():
        for call in calls(file):
            assert set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)*\b", call.errors)) & codes, call.method.name


WORD = re.compile(r"`(attendant_[a-z0-9_]+)(?:\{[^`]*\})?`")


@pytest.mark.parametrize("page", ["docs/operating.md", "docs/serving.md", "docs/alerts.md"])
def test_metrics_that_are_named_exist(page: str) -> None:
    found = {name for name in WORD.findall(text_of(page)) if not name.startswith("attendant_loadtest")}
    assert found <= metrics_page.names()


SETTING = re.compile(r"`(?:--(?:no-)?)?((?:engine|encoder|speech|slo|gpu|grpc|http)\.[a-z_-]+)`")


@pytest.mark.parametrize("page", pages())
def test_settings_that_are_named_exist(page: str) -> None:
    found = {name.replace("-", "_") for name in SETTING.findall(text_of(page))}
    assert found <= set(settings_page.names())
