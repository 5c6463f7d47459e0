"""The page of a view: one file that needs nothing else, and that cannot be broken by what a model says."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from attendant.client.explain.page import LEVELS, page
from attendant.client.explain.views import Token, View

from tests.cli.explain.examples import KEYS, VIEWS, WEIGHTS, answered, attributed, heads, seen

VOID = {"meta", "link", "img", "br", "input"}


class Reader(HTMLParser):
    """Elements of a page, and that each that is opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def values(text: str) -> dict[str, dict]:
    """What the page's script draws from."""
    found = re.search(r'<script type="application/json" id="values">(.*?)</script>', text, re.DOTALL)
    assert found
    parsed: dict[str, dict] = json.loads(found[1])
    return parsed


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_page_is_whole_and_needs_no_network(view: View) -> None:
    text = page([view])
    reader = Reader(text)
    assert reader.open == []
    links = [value for _, given in reader.elements for name, value in given.items() if name in ("src", "href")]
    assert all(link and link.startswith("data:") for link in links)
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|https?://(?!www\.w3\.org/2000/svg)", text)
    assert ("html", {"lang": "en"}) in reader.elements
    assert "<!--" not in text, "every place is filled"


def test_weights_survive_the_packing() -> None:
    found = values(page([answered()]))["0"]
    weights = np.frombuffer(base64.b64decode(found["weights"]), "<u2").reshape(1, *WEIGHTS.shape) / LEVELS
    np.testing.assert_allclose(weights[0], WEIGHTS, atol=0.5 / LEVELS)
    assert found["rows"] == [" Tea", "."]
    assert [piece for piece, key in found["pieces"] if key is not None] == [token.text for token in KEYS]


def test_heads_can_be_chosen() -> None:
    found = values(page([heads()]))["0"]["panels"]
    assert [(panel["layer"], panel["head"]) for panel in found] == [
        (layer, head) for layer in (0, 1) for head in range(3)
    ]


def test_without_a_script_there_is_a_table() -> None:
    text = page([answered()])
    assert "<noscript><table>" in text
    assert "50 % “Tea”" in text


def test_what_a_model_says_is_only_text() -> None:
    evil = "</script><script>alert(1)</script><!--SECTIONS-->"
    view = replace(answered(), keys=(*KEYS[:-1], Token(evil)), model=evil, answer=evil)
    text = page([view, replace(attributed(), text=evil, answer=evil)])
    assert "<script>alert" not in text
    assert Reader(text).open == []
    assert values(text)["0"]["keys"][-1] == f"“{evil}”"


def test_a_picture_is_in_the_page() -> None:
    found = values(page([seen()]))["0"]
    assert found["grid"] == [2, 2, 1]
    assert base64.b64decode(found["image"].partition(",")[2]).startswith(b"\x89PNG")
