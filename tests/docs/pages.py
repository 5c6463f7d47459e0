"""Which pages of docs/ are made from the code."""

from __future__ import annotations

from pathlib import Path

from attendant.bundle.graph_io.__main__ import tables

from tests.docs.api_pages import api_pages
from tests.docs.metrics_page import metrics_page
from tests.docs.rooms import rooms_page, rooms_picture
from tests.docs.settings_page import settings_page

GRAPHS = """# Graphs

What the ONNX graphs of a bundle take and give: every input and output that any kind of graph may have. A graph has
those that its manifest says. The declarations are in `server/attendant/bundle/graph_io/`: the exporter traces by them,
the manifest is checked against them, and sessions and runners read their names there.

Written by `python -m tests.docs`; a test keeps it true.

"""
REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"


def pages() -> dict[str, str]:
    """Their texts, by path below docs/."""
    return {
        **api_pages(),
        "graphs.md": GRAPHS + tables().replace("### ", "## "),
        "settings.md": settings_page(),
        "metrics.md": metrics_page(),
        "rooms.md": rooms_page(),
        "rooms.svg": rooms_picture(),
    }
