"""How a call's answer goes out to the page: as JSON, or line by line while it is made."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from attendant.core.errors import AttendantError
from attendant.http.api import answers
from attendant.http.errors import PLAIN, error_body
from attendant.http.page.files import HEADERS

Line = dict[str, Any]
NO_STORE = {**HEADERS, **answers.NO_STORE}


async def in_one(request: Request, work: Callable[[], Awaitable[Line]]) -> Response:
    """The answer of a call as one object; an error as its status and its words."""
    return await answers.in_one(request, PLAIN, work, NO_STORE)


async def in_lines(request: Request, work: Callable[[], Awaitable[AsyncGenerator[Line, None]]]) -> Response:
    """The answer of a call as a line of JSON for each part. What is refused before the first of them has the status of
    its error; what fails later is told by the last line, ``{"error": ...}``."""
    return await answers.in_parts(request, PLAIN, work, _LINES)


def _line(line: Line) -> bytes:
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


def _failure(error: AttendantError) -> bytes:
    return _line(error_body(error))


_LINES = answers.Form("application/x-ndjson", _line, _failure, NO_STORE, b"\n")
