"""What every call passes first: no page of another site, a body that is not too large, a caller who is listened to."""

from __future__ import annotations

import math
from dataclasses import dataclass

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from attendant.core.errors import AttendantError, InvalidRequest, NotAllowed, TooLarge
from attendant.http.api.answers import error_answer
from attendant.http.api.bodies import MOST_BYTES
from attendant.http.api.hearing import Hearing
from attendant.http.api.routes import dialect_of
from attendant.http.errors import PLAIN
from attendant.http.sites import false_name, other_site

KEEP_ALIVE = "x-keep-alive-s"
"""Header of a call that asks for comments in a quiet stream."""

LOOKS = ("GET", "HEAD", "OPTIONS")
"""Methods of requests that only look; the others are calls."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for every call. ``keep_alive_s``: of calls that say nothing of it; 0: no comments."""

    most_bytes: int = MOST_BYTES
    keep_alive_s: float = 0.0
    origins: tuple[str, ...] = ()


class Door:
    """An app that only calls within the limits reach."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in LOOKS:
            await self._app(scope, receive, send)
            return
        request, limits = Request(scope), self._limits
        try:
            self._check(request)
            hearing = Hearing(receive, limits.most_bytes, _keep_alive_s(request, limits.keep_alive_s))
        except AttendantError as error:
            # Who waits for leave to send the body must not take the next request for it.
            headers = {"connection": "close"} if "expect" in request.headers else None
            refused = error_answer(dialect_of(scope["path"]) or PLAIN, error, headers=headers)
            await refused(scope, receive, send)
            return
        hearing.put_into(scope)
        await self._app(scope, hearing.receive, send)

    def _check(self, request: Request) -> None:
        if dialect_of(request.url.path) is not None:  # the page has a guard of its own
            origins = self._limits.origins
            why = other_site(request, origins) or false_name(request, origins)
            if why is not None:
                raise NotAllowed(why)
        most, said = self._limits.most_bytes, request.headers.get("content-length", "")
        if said.isdecimal() and len(said) < 20 and int(said) > most:
            raise TooLarge("body", f"has {int(said):,} bytes; allowed: at most {most:,}")


def _keep_alive_s(request: Request, default: float) -> float:
    asked = request.headers.get(KEEP_ALIVE)
    if asked is None:
        return default
    try:
        seconds = float(asked)
    except ValueError:
        seconds = math.nan
    if seconds != 0 and not 1 <= seconds <= 3600:
        raise InvalidRequest(KEEP_ALIVE, f"is {asked[:100]!r}; allowed: seconds from 1 to 3600, or 0 for never")
    return seconds
