"""The routes /metrics, for Prometheus, and /metrics/load, for endpoint pickers."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from attendant.http.answers import page
from attendant.metrics import Metrics


def metrics_routes(metrics: Metrics) -> list[Route]:
    """The pages of ``metrics``."""

    async def everything(request: Request) -> Response:
        accept = request.headers.get("accept", "")
        # In a thread, so that the loop, which carries every token, waits for it a switch interval at most.
        return page(*await asyncio.to_thread(metrics.render, accept))

    async def load(_: Request) -> Response:
        return page(*metrics.render_load())  # less than the way to a thread and back costs

    return [Route("/metrics", everything), Route("/metrics/load", load)]
