"""The routes /openapi.json and /docs: the page as a program reads it, and as people do."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Sequence
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from attendant.http.docs.openapi import openapi_page
from attendant.http.page.files import HEADERS, TYPES

DAY = {"cache-control": "max-age=86400"}
"""Of files that change with the version only, and that nobody needs at once."""


def docs_routes(apis: Sequence[Route]) -> list[Route]:
    """The page of ``apis``, made when somebody asks for it first, and the files that show it."""
    written: list[bytes] = []

    async def page(_: Request) -> Response:
        if not written:
            written.append(await asyncio.to_thread(lambda: json.dumps(openapi_page(apis)).encode()))
        return Response(written[0], headers=dict(HEADERS), media_type="application/json")

    return [Route("/openapi.json", page), *(_route(name, body) for name, body in docs_files().items())]


def docs_files() -> dict[str, bytes]:
    """Every file by name. What is large is kept packed, as ``NAME.gz``."""
    folder = files(__package__ or __name__).joinpath("static")
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def _route(name: str, body: bytes) -> Route:
    plain = name.removesuffix(".gz")
    headers = {**HEADERS, **DAY, "content-type": TYPES[plain.rpartition(".")[2]]}

    async def file(request: Request) -> Response:
        if plain == name:
            return Response(body, headers=headers)
        told = {**headers, "vary": "accept-encoding"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(body, headers={**told, "content-encoding": "gzip"})
        return Response(await asyncio.to_thread(gzip.decompress, body), headers=told)

    return Route("/docs" if plain == "index.html" else f"/docs/{plain}", file)
