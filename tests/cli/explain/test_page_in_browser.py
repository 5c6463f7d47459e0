"""The page of a view in a real browser: by keyboard, in light and dark, without a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from attendant.client.explain.page import page
from attendant.client.explain.views import View
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.cli.explain.examples import alike, answered, attributed, heads, heard, seen, steps
from tests.http.page.chromium import browser as chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


def opened(browser: Browser, folder: Path, *views: View, dark: bool = False) -> Page:
    """The page in a window, of which every error ends the test."""
    path = folder / "page.html"
    path.write_text(page(list(views)), encoding="utf-8")
    window = browser.new_page(color_scheme="dark" if dark else "light")
    window.on("pageerror", lambda error: pytest.fail(str(error)))
    window.on(
        "request", lambda request: None if request.url.startswith(("file:", "data:")) else pytest.fail(request.url)
    )
    window.goto(path.as_uri())
    return window


def shades(window: Page) -> list[float]:
    """How strong the shade of each token is, in percent."""
    return [
        float(style.partition("var(--most)")[2].split("%")[0])
        for style in window.locator("mark").evaluate_all("marks => marks.map((mark) => mark.getAttribute('style'))")
    ]


def test_a_token_is_chosen_by_keyboard(browser: Browser, tmp_path: Path) -> None:
    window = opened(browser, tmp_path, answered())
    # Means of both rows: .3125 .0625 .25 .25 .125 of at most .3125
    np.testing.assert_allclose(shades(window), [0, 100, 20, 80, 80, 40], atol=0.1)
    window.keyboard.press("Tab")
    window.keyboard.press("Tab")
    window.keyboard.press("Enter")
    chosen = window.locator("button[aria-pressed=true]")
    assert chosen.get_attribute("aria-label") == "token of the answer:  Tea"
    np.testing.assert_allclose(shades(window), [0, 100, 0, 50, 50, 0], atol=0.1)
    said = window.get_by_role("status").inner_text()
    assert said == "Most: “Tea” 50 %, “ coffee” 25 %, “?” 25 %", "those who do not see the shades hear them"
    window.close()


def test_layers_and_heads_are_chosen_by_keyboard(browser: Browser, tmp_path: Path) -> None:
    window = opened(browser, tmp_path, heads())
    assert window.locator(".controls strong").inner_text() == "layer 0, head 0"
    window.get_by_label("Layer").focus()
    window.keyboard.press("ArrowRight")
    assert window.locator(".controls strong").inner_text() == "layer 1, head 0"
    window.get_by_role("button", name="head 2").press("Enter")
    assert window.locator(".controls strong").inner_text() == "layer 1, head 2"
    assert window.evaluate("document.activeElement.textContent") == "head 2", "the focus stays where it was"
    mean = heads().layers[1].weights[2].mean(axis=0)  # [keys]
    np.testing.assert_allclose(shades(window), 100 * mean / mean.max(), atol=0.1)
    window.close()


def test_patches_and_frames_are_drawn(browser: Browser, tmp_path: Path) -> None:
    window = opened(browser, tmp_path, seen(), heard())
    assert window.locator(".picture li").all_inner_texts() == ["13", "25", "50", "13"]
    assert window.get_by_role("button", name="token that looks").count() == 0, "there is one row, and nothing to choose"
    assert window.locator(".strip .note").inner_text() == "0 to 2.2 s"
    window.close()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_stands_in_anybodys_way(browser: Browser, tmp_path: Path, dark: bool) -> None:
    """What axe-core finds wrong: names, roles, order, contrast."""
    window = opened(browser, tmp_path, heads(), seen(), heard(), attributed(), alike(), steps(), dark=dark)
    found = Axe().run(window)
    assert found.violations_count == 0, found.generate_report()
    width = window.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert width <= 0, "it fits the window"
    window.set_viewport_size({"width": 375, "height": 700})
    width = window.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert width <= 0, "and a telephone"
    window.close()
