"""Which pages of docs/ are made from the code."""

from __future__ import annotations

from pathlib import Path

from tests.docs.api_pages import api_pages
from tests.docs.metrics_page import metrics_page
from tests.docs.rooms import rooms_page, rooms_picture
from tests.docs.settings_page import settings_page

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"


def pages() -> dict[str, str]:
    """Their texts, by path below docs/."""
    return {
        **api_pages(),
        "settings.md": settings_page(),
        "metrics.md": metrics_page(),
        "rooms.md": rooms_page(),
        "rooms.svg": rooms_picture(),
    }
