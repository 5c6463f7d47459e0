"""`python -m tests.http.page.shots [BUNDLE ...]` takes the pictures of the page for docs/assets/page/.

It serves the demo models and the bundles, which should be a chat model and one that embeds, under some load.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from PIL import Image
from playwright.sync_api import Browser, Locator, Page

from tests.http.page.chromium import browser_for_pictures
from tests.system.server import REPOSITORY, serving

ASSETS = REPOSITORY / "docs" / "assets" / "page"
LOAD_S = 70.0
"""So that charts have something to show."""
WAVES = (1, 3, 2, 6, 2)
"""How many callers there are, one after the other."""
OBJECTIVES = "demo:ttft 50ms p95, demo:itl 20ms p95"


def main(*bundles: str) -> int:
    """Serve, load, and take all pictures."""
    ASSETS.mkdir(parents=True, exist_ok=True)
    flags = ("--engine.max-num-seqs", 4, "--engine.max-queue", 64, "--slo.objectives", OBJECTIVES)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with (
            serving(folder / "log", *bundles, "--demo", *flags) as server,
            browser_for_pictures(folder) as browser,
        ):
            loads = _load(server.http)
            time.sleep(LOAD_S)
            _boards(browser, server.http)
            for thread in loads:
                thread.join()
            _looks(browser, server.http)
    return 0


def _boards(browser: Browser, address: str) -> None:
    for scheme in ("light", "dark"):
        page = _open(browser, address, scheme, 1280, 1130)
        _save(page.screenshot(), f"{scheme}.webp")
        page.close()
    page = _open(browser, address, "light", 390, 844)
    _save(page.screenshot(), "phone.webp")
    page.close()


def _looks(browser: Browser, address: str) -> None:
    page = _open(browser, address, "light", 1280, 1000)
    page.set_default_timeout(90_000)
    page.evaluate("document.querySelector('.top').style.position = 'static'")  # it would lie over what is tall
    panel = _box(page, page.get_by_role("tab", name="answer").first)  # real models come before those of the demo
    panel.get_by_role("textbox").first.fill("What is the capital of France?")
    panel.get_by_label("Longest answer").fill("16")
    panel.get_by_role("button", name="Answer").click()
    panel.locator(".timing").wait_for()
    panel.locator(".answer .token", has_text="Paris").first.click()
    panel.locator(".occlusion .cell").first.wait_for()
    panel.locator(".attention .cell").first.wait_for()
    panel.get_by_role("slider").fill("18")
    _save(panel.locator(".result").screenshot(), "look.webp")
    panel = _box(page, page.get_by_role("tab", name="label an image"))
    panel.get_by_label("Image file").set_input_files(REPOSITORY / "tests" / "http" / "page" / "star.png")
    panel.get_by_role("button", name="Label").click()
    panel.locator(".picture").wait_for()
    panel.get_by_label("Attention of").select_option("rollout")
    page.wait_for_timeout(1500)
    _save(panel.locator(".result").screenshot(), "image.webp")
    panel = _box(page, page.get_by_role("tab", name="a word in two contexts").first)
    panel.get_by_role("button", name="Compare").click()
    panel.locator(".dial").wait_for()
    _save(panel.screenshot(), "contexts.webp")
    page.close()


def _open(browser: Browser, address: str, scheme: str, width: int, height: int) -> Page:
    size = {"width": width, "height": height}
    page = browser.new_page(viewport=size, device_scale_factor=1.5, color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(f"{address}/")
    page.locator(".board").wait_for()
    page.wait_for_timeout(2500)
    return page


def _box(page: Page, tab: Locator) -> Locator:
    tab.click()
    return page.get_by_role("tabpanel").and_(page.locator(":visible"))


def _save(png: bytes, name: str) -> None:
    Image.open(io.BytesIO(png)).convert("RGB").save(ASSETS / name, "WEBP", quality=80, method=6)
    print(f"wrote docs/assets/page/{name}, {(ASSETS / name).stat().st_size:,} bytes")


def _load(address: str) -> list[threading.Thread]:
    """Waves of callers, and a few who classify, translate and chat with a real model."""
    end = time.monotonic() + LOAD_S + 15
    steady = [
        _repeating(end, 0.4, address, "classify", model="sentiment", text="a lovely film, I laughed a lot"),
        _repeating(end, 1.5, address, "translate", model="translator", text="The blue car is behind the house."),
        _repeating(end, 6.0, address, "generate", model="smollm2", text="Once upon a time", max_tokens=24),
        _repeating(end, 2.0, address, "embed", model="minilm", texts=["a red apple", "a phone"]),
    ]
    threads = [threading.Thread(target=work) for work in steady]
    for number in range(max(WAVES)):
        threads.append(threading.Thread(target=_wave, args=(address, number)))
    for thread in threads:
        thread.start()
    return threads


def _wave(address: str, number: int) -> None:
    for callers in WAVES:
        end = time.monotonic() + LOAD_S / len(WAVES)
        while time.monotonic() < end:
            if number < callers:
                _post(address, "generate", {"model": "demo", "text": "Where is my order?", "max_tokens": 48})
            time.sleep(0.5 + 0.1 * number)


def _repeating(end: float, pause_s: float, address: str, name: str, **body: object) -> Callable[[], None]:
    def work() -> None:
        while time.monotonic() < end:
            _post(address, name, body)
            time.sleep(pause_s)

    return work


def _post(address: str, name: str, body: dict[str, object]) -> None:
    data, headers = json.dumps(body).encode(), {"content-type": "application/json"}
    try:
        urlopen(Request(f"{address}/page/{name}", data, headers), timeout=60).read()
    except HTTPError:  # there is no such model, or it is busy
        return


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
