"""The page of the APIs in Chromium: it shows every call, lets people try one, and asks nobody but the server."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.http.api.served import ApiSite
from tests.http.page.chromium import browser
from tests.synthetic import make_synthetic_bundle

WAITS_MS = 60_000


@pytest.mark.parametrize("path", ["/docs"])
def test_people_read_and_try_the_apis(path: str, tmp_path: Path) -> None:
    site = ApiSite(make_synthetic_bundle(tmp_path / "m", name="m"))
    complaints: list[str] = []
    try:
        with browser() as chromium:
            page = chromium.new_page()
            page.set_default_timeout(WAITS_MS)
            page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("request", lambda asked: None if asked.url.startswith(site.url) else complaints.append(asked.url))
            page.goto(f"{site.url}{path}")
            expect(page.locator(".opblock-tag").first).to_be_visible(timeout=WAITS_MS)
            call = page.locator("#operations-OpenAI-get_v1_models")
            call.locator(".opblock-summary-control").click()
            call.get_by_role("button", name="Try it out").click()
            call.get_by_role("button", name="Execute").click()
            expect(call.locator(".live-responses-table .response-col_status").last).to_contain_text(
                "200", timeout=WAITS_MS
            )
            expect(call.locator(".live-responses-table")).to_contain_text('"m"')
            page.locator("#operations-OpenAI-post_v1_chat_completions .opblock-summary-control").click()
            expect(page.locator("#operations-OpenAI-post_v1_chat_completions")).to_contain_text("messages")
    finally:
        site.close()
    assert [text for text in complaints if not text.startswith("data:")] == []
