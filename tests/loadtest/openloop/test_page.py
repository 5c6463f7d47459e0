"""The report as a page: without a network, in light and dark, for readers who see no colours or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from attendant_loadtest.openloop.figures import figures
from attendant_loadtest.openloop.loop import run
from attendant_loadtest.openloop.measuring import Measured
from attendant_loadtest.openloop.objective import Objective
from attendant_loadtest.openloop.page import page
from attendant_loadtest.openloop.page.axes import Scale
from attendant_loadtest.openloop.report import Report, lines
from attendant_loadtest.schedule.arrivals import Poisson
from attendant_loadtest.schedule.mix import alike, plan
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from tests.http.page.chromium import browser as chromium
from tests.loadtest.openloop.virtual import OneAtATime, virtually

OBJECTIVE = Objective(ttft_s=0.3, itl_s=0.05)


def measured(per_s: float, *, late: bool = False) -> Measured:
    found = virtually(run(plan(Poisson(per_s), alike(8, 4), 20, 1), OneAtATime(0.05, 0.01)))
    found.busy = 0.99 if late else 0.1
    return Measured(f"{per_s:g} requests/s", figures(found, per_s, OBJECTIVE), None, found.samples)


@pytest.fixture(scope="module")
def report() -> Report:
    return Report(
        "demo at <here>", {"rate": "2,8,30", "prompt": "64"}, OBJECTIVE, [measured(2), measured(8), measured(30)]
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_needs_nothing_and_is_for_everybody(
    browser: Browser, report: Report, tmp_path: Path, scheme: str
) -> None:
    path = tmp_path / "page.html"
    path.write_text(page(report), encoding="utf-8")
    window = browser.new_page(color_scheme=scheme)  # type: ignore[arg-type]
    window.on("pageerror", lambda error: pytest.fail(str(error)))
    window.on("request", lambda request: None if request.url == path.as_uri() else pytest.fail(request.url))
    window.goto(path.as_uri())
    assert window.locator("svg[role=img]").count() == 4 + 2 * 3, "four over the rate, two heat maps of each run"
    assert window.locator("tbody tr").count() == 3
    assert window.get_by_role("heading", level=1).inner_text() == "demo at <here>"
    found = Axe().run(window)
    assert not found.response["violations"], found.generate_report()
    window.close()


def test_lines_are_told_apart_without_colours(report: Report) -> None:
    text = page(report)
    for name in ("p50", "p90", "p99", "answered", "goodput", "objective 300 ms", "objective 50 ms"):
        assert f">{name}</text>" in text
    assert 'stroke-dasharray="7 4"' in text
    assert "<rect x=" in text
    assert "<circle" in text


def test_a_client_that_was_the_bottleneck_has_no_figures_anywhere() -> None:
    late = Report("demo", {}, OBJECTIVE, [measured(2), measured(8, late=True)])
    said = "\n".join(lines(late))
    number = len(late.runs[1].samples)
    assert f"| 8.00/s | {number} of {number} | - |" in said
    assert "8 requests/s: no figures, as the client was the bottleneck: it used 99% of a processor" in said
    text = page(late)
    assert "no figures" in text
    assert "<h2>8 requests/s</h2>" not in text


def test_ticks_are_round_and_within() -> None:
    assert Scale(0, 23, 0, 100).ticks() == [0, 5, 10, 15, 20]
    assert Scale(3, 700, 0, 100, log=True).ticks() == [5, 10, 20, 50, 100, 200, 500]
    assert Scale(0.5, 90000, 0, 100, log=True).ticks() == pytest.approx([1, 10, 100, 1000, 10000])
    scale = Scale(1, 100, 0, 100, log=True)
    assert [scale(value) for value in (1, 10, 100, 1000, 0.1)] == pytest.approx([0, 50, 100, 100, 0])
