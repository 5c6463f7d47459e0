"""The page in Chromium: what people see, press and hear read out. One server, one browser."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import soundfile
from attendant.demo import demo_bundles
from axe_playwright_python.sync_playwright import Axe
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, expect

from tests.http.page.chromium import browser
from tests.http.page.served import PageSite

WAITS_MS = 60_000
expect.set_options(timeout=WAITS_MS)


@pytest.fixture(scope="module")
def site() -> Iterator[PageSite]:
    site = PageSite(*demo_bundles())
    yield site
    site.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture
def page(site: PageSite, chromium: Browser) -> Iterator[Page]:
    """The page, whose scripts raise nothing, break no policy and ask nobody but the server."""
    complaints: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error" and "status of 4" not in message.text:
            complaints.append(message.text)

    def ask(request: Request) -> None:
        if not request.url.startswith((f"http://{site.address}/", "blob:", "data:")):
            complaints.append(request.url)

    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(WAITS_MS)
    page.on("console", hear)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", ask)
    page.goto(f"http://{site.address}/")
    expect(page.locator("#server-state")).to_contain_text("Serving")
    yield page
    context.close()
    assert not complaints


def box(page: Page, tab: str) -> Locator:
    """The box of a tab, opened."""
    page.get_by_role("tab", name=tab).click()
    return page.get_by_role("tabpanel").and_(page.locator(":visible"))


def shades(place: Locator) -> list[str]:
    """How strongly each token is shaded."""
    found: list[str] = place.locator(".cell").evaluate_all(
        "cells => cells.map(c => c.style.getPropertyValue('--share'))"
    )
    return found


def no_violations(page: Page) -> None:
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_the_board_says_what_models_are_at_and_charts_move(site: PageSite, page: Page) -> None:
    rows = page.locator(".board tbody tr")
    assert rows.locator(".name").all_text_contents() == ["demo", "translator", "sentiment", "shapes"]
    assert set(rows.locator(".state .words").all_text_contents()) == {"Ready"}
    throughput = page.locator("[data-chart=rate]")
    page.locator("#charts-view").select_option("=demo")
    expect(throughput.locator(".title")).to_have_text("Throughput")
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(site.lines, "generate", model="demo", text="Where is", max_tokens=60) for _ in range(6)]
        assert all(call.result()[-1]["completion_tokens"] for call in calls)
    expect(throughput.locator(".now")).not_to_have_text("0")
    expect(page.locator("[data-chart=first_s] .plot")).to_have_attribute("aria-label", re.compile("p50: demo .*s"))
    expect(rows.first.locator(".figure").nth(2)).to_contain_text("100 %")
    expect(rows.first.locator(".figure").nth(0)).to_contain_text("ms")


def test_an_answer_by_keyboard_alone(page: Page) -> None:
    """From the tab to the message, the button, a token of the answer, and what it looked at in each layer."""
    page.get_by_role("tab", name="Answer").focus()
    keys = page.keyboard
    keys.press("Tab")
    keys.press("Control+a")
    keys.type("Can I return shoes?")
    for _ in range(4):
        keys.press("Tab")
    keys.press("Enter")  # the button
    expect(page.locator(".timing dt").first).to_have_text("tokenise")
    expect(page.locator(".status").first).to_contain_text("Done")
    assert page.locator(".answer .token").count() > 3
    keys.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('role')") == "option"
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "Enter"):
        keys.press(key)
    look = page.locator(".look")
    expect(look.locator(".look-title")).to_contain_text("Token 4")
    expect(look.locator(".attention .cell").first).to_be_visible()
    text = "".join(look.locator(".attention .cell").all_text_contents())
    assert text.startswith("<|user|>Can I return shoes?")
    expect(look.get_by_label("Leave out the first token")).to_be_checked()
    before = shades(look.locator(".attention"))
    assert before[0] == "0%"  # the sink
    assert "100%" in before
    slider = look.get_by_role("slider")
    slider.focus()
    keys.press("End")
    expect(slider).to_have_attribute("aria-valuetext", "layer 3")
    after = shades(look.locator(".attention"))
    assert len(after) == len(before)
    assert after != before
    look.get_by_role("button", name="head 1").focus()
    keys.press("Enter")
    expect(look.get_by_role("button", name="head 1")).to_have_attribute("aria-pressed", "true")
    expect(look.get_by_role("button", name="head 1")).to_be_focused()
    assert shades(look.locator(".attention")) != after


def test_rollout_sink_and_occlusion_of_a_token(page: Page) -> None:
    panel = box(page, "Answer")
    panel.get_by_role("button", name="Answer").click()
    panel.locator(".answer .token").nth(4).click()
    look = panel.locator(".look")
    parts = look.locator(".occlusion .cell")
    expect(parts).to_have_text(["Where", "is", "my", "order?"])
    expect(look.locator(".note")).to_contain_text("not why it answered so")
    one_layer = shades(look.locator(".attention"))
    look.get_by_label("Leave out the first token").uncheck()
    assert shades(look.locator(".attention"))[0] != "0%"
    look.get_by_label("Attention of").select_option("rollout")
    expect(look.locator(".attention > .hint").last).to_contain_text("Rollout follows attention")
    assert shades(look.locator(".attention")) != one_layer
    expect(look.get_by_role("slider")).to_be_hidden()
    no_violations(page)


def test_a_translation_shows_its_source(page: Page) -> None:
    panel = box(page, "Translate")
    panel.get_by_role("button", name="Translate").click()
    panel.locator(".answer .token").nth(1).click()
    expect(panel.locator(".attention h4")).to_have_text("What it looked at in the source")
    expect(panel.locator(".attention .cell").first).to_have_text("The")


def square() -> bytes:
    image = Image.new("RGB", (96, 96), "white")
    ImageDraw.Draw(image).rectangle((24, 24, 72, 72), fill="navy")
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_an_image_is_labelled_and_shows_where_the_model_looked(page: Page) -> None:
    panel = box(page, "Label an image")
    panel.get_by_role("button", name="Label").click()
    expect(panel.get_by_role("status").first).to_contain_text("Choose an image first")
    panel.get_by_label("Image file").set_input_files({"name": "s.png", "mimeType": "image/png", "buffer": square()})
    panel.get_by_role("button", name="Label").click()
    expect(panel.locator(".bars li").first).to_contain_text("square")
    patches = panel.locator(".picture rect")
    expect(patches).to_have_count(36)
    no_violations(page)
    panel.get_by_role("button", name="Draw a shape").click()
    expect(panel.locator(".preview img")).not_to_have_attribute("alt", "s.png")
    panel.get_by_label("Image file").set_input_files({"name": "s.png", "mimeType": "image/png", "buffer": b"no image"})
    panel.get_by_role("button", name="Label").click()
    expect(panel.get_by_role("alert")).to_contain_text("It did not work")


def test_a_text_is_labelled_and_a_word_compared(page: Page) -> None:
    panel = box(page, "Label a text")
    panel.get_by_role("button", name="Label").click()
    expect(panel.locator(".bars li").first).to_contain_text("positive")
    expect(panel.locator(".occlusion .cell").first).to_be_visible()
    panel.get_by_role("button", name="film").click()
    expect(panel.locator(".attention h4")).to_have_text("What “film” looked at")
    panel = box(page, "A word in two contexts")
    panel.get_by_role("button", name="Compare").click()
    expect(panel.locator(".dial")).to_contain_text("cosine")
    expect(panel.locator(".context .hint")).to_have_text(["token: apple", "token: apple"])
    no_violations(page)


def test_what_is_refused_is_told_at_its_field(page: Page) -> None:
    panel = box(page, "Answer")
    longest = panel.get_by_label("Longest answer")
    longest.fill("0")
    panel.get_by_role("button", name="Answer").click()
    expect(panel.get_by_role("alert")).to_have_text("It did not work. Max_tokens is 0; allowed: at least 1.")
    expect(longest).to_have_attribute("aria-invalid", "true")
    expect(longest).to_be_focused()
    no_violations(page)


def test_dark_and_light_follow_the_system_and_the_switch(page: Page) -> None:
    def background() -> str:
        colour: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return colour

    light = background()
    page.emulate_media(color_scheme="dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    dark = background()
    assert dark != light
    no_violations(page)
    page.get_by_role("button", name="Switch to light colours").click()
    assert background() == light
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    page.evaluate("localStorage.clear()")


def test_a_telephone_is_wide_enough(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    panel = box(page, "Label a text")
    panel.get_by_role("button", name="Label").click()
    expect(panel.locator(".occlusion .cell").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    no_violations(page)


def test_the_microphone_is_recorded_as_a_file_that_the_server_reads(page: Page) -> None:
    """In the format that ``tries/hearing.py`` takes; the sound is Chromium's own beep."""
    script = """async () => {
        const { wav } = await import("/page/sound.js");
        const file = wav([new Float32Array([0, 0.5]), new Float32Array([-1, 2])], 16000);
        return [...new Uint8Array(await file.arrayBuffer())];
    }"""
    data, rate = soundfile.read(io.BytesIO(bytes(page.evaluate(script))), dtype="int16")
    assert (rate, data.tolist()) == (16_000, [0, 16383, -32767, 32767])


def test_a_server_that_ends_is_told(chromium: Browser) -> None:
    site = PageSite()
    page = chromium.new_page()
    page.goto(f"http://{site.address}/")
    expect(page.locator("#server-state")).to_contain_text("Loading models")
    site.close()
    expect(page.locator("#server-state")).to_contain_text("Connection lost")
    page.close()
