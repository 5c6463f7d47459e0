"""The route /healthz: whether the server takes calls, for load balancers."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from attendant.http.answers import said


def health_routes(serving: Callable[[], bool]) -> list[Route]:
    """200 while ``serving()`` is true, else 503: before models are loaded, while the server drains, and after."""

    async def health(_: Request) -> Response:
        now = serving()
        return said(200 if now else 503, {"status": "serving" if now else "not serving"})

    return [Route("/healthz", health)]
