"""Gathers the routes of every API."""

from __future__ import annotations

from collections.abc import Callable

from starlette.routing import Route

from attendant.frontend.front_end import FrontEnd


def api_routes(models: Callable[[], FrontEnd]) -> list[Route]:
    """The routes.

    Args:
        models: the front end, asked at each request; raises Unavailable as long as models are being loaded.
    """
    return []
