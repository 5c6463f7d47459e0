"""The pictures of dashboards show what was recorded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pytest

from deploy.grafana import dashboards
from tests.deploy.picture import Line, draw, legend_of, spoken
from tests.deploy.record import ASSETS, LAST

BOARDS = dashboards()


def texts(picture: str) -> list[str]:
    """All words of a picture."""
    return ["".join(part.itertext()) for part in ElementTree.fromstring(picture).iter() if part.tag.endswith("text")]


def panels(uid: str) -> Iterator[dict[str, Any]]:
    """Those that the picture of a dashboard has."""
    rows = 0
    for panel in BOARDS[uid]["panels"]:
        if panel["type"] == "row" and rows:
            return
        rows += panel["title"] == LAST.get(uid)
        yield from (panel, *panel.get("panels", ()))


@pytest.mark.parametrize("uid", BOARDS)
def test_every_panel_is_drawn(uid: str) -> None:
    def ask(query: str, legend: str) -> list[Line]:
        labels = {"model_name": "m", "le": "0.1", "instance": "i"}
        return [Line(legend_of(legend, labels), labels, ((0.0, 0.25), (1.0, float("nan")), (2.0, 0.5)))]

    words = texts(draw(BOARDS[uid], ask))
    for panel in BOARDS[uid]["panels"]:
        for inner in (panel, *panel.get("panels", ())):
            assert inner["title"] in words
    assert "nothing was recorded" not in words


def test_what_was_not_recorded_is_said() -> None:
    words = texts(draw(BOARDS["attendant-overview"], lambda query, legend: []))
    assert words.count("nothing was recorded") == sum(
        panel["type"] != "row" for panel in BOARDS["attendant-overview"]["panels"]
    )


@pytest.mark.parametrize("uid", BOARDS)
def test_the_picture_in_the_docs_is_of_todays_dashboard(uid: str) -> None:
    """Its panels, not its values, which differ each time that they are recorded."""
    words = texts((ASSETS / f"{uid}.svg").read_text(encoding="utf-8"))
    assert [panel["title"] for panel in panels(uid) if panel["title"] not in words] == [], (
        "python -m tests.deploy.record"
    )


def test_values_are_spoken_with_their_units() -> None:
    assert spoken(0.0123, "s") == "12.3 ms"
    assert spoken(2.5, "s") == "2.5 s"
    assert spoken(0.995, "percentunit") == "99.5 %"
    assert spoken(123456, "short") == "123,456"
