"""Who gets the page: browsers on this machine, unless an operator says otherwise, and no other site in them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from http import HTTPStatus
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from attendant.core.addresses import is_loopback
from attendant.http.answers import said
from attendant.http.api.bodies import media_type
from attendant.http.sites import hostname, other_site

Audience = Literal["loopback", "everyone", "off"]
Endpoint = Callable[[Request], Awaitable[Response]]

_HOW = "set http.page to everyone to let others in, who may then use the models"
_PROXIES = ("forwarded", "x-forwarded-for", "via")


class Guard:
    """Refuses with words whoever may not have the page.

    A page of another site in a browser of this machine could otherwise reach the server: under a name of its own that
    it lets point here (DNS rebinding), which the header Host gives away, or by a form or a script that posts
    (cross-site request forgery), which Origin, Sec-Fetch-Site and the content type give away.
    """

    def __init__(self, audience: Audience) -> None:
        self._audience = audience

    def around(self, endpoint: Endpoint) -> Endpoint:
        """``endpoint`` for those who may have it; others hear 403, and 415 for a body that is no JSON."""

        @wraps(endpoint)
        async def guarded(request: Request) -> Response:
            refusal = self._refusal(request)
            return await endpoint(request) if refusal is None else refusal

        return guarded

    def _refusal(self, request: Request) -> Response | None:
        why = self._stranger(request) if self._audience == "loopback" else None
        why = why or other_site(request)
        if why is not None:
            return said(HTTPStatus.FORBIDDEN, {"error": why})
        if request.method == "POST" and media_type(request) != "application/json":
            text = f"the content type is {media_type(request)[:100]!r}; allowed: application/json"
            return said(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, {"error": text})
        return None

    def _stranger(self, request: Request) -> str | None:
        """Why this is no browser of this machine, or None."""
        peer = request.client.host if request.client is not None else ""
        if not is_loopback(peer):
            return f"this page is for browsers on the server's own machine, and you come from {peer}; {_HOW}"
        proxy = next((name for name in _PROXIES if name in request.headers), None)
        if proxy is not None:
            return f"this page is for browsers on the server's own machine, and you come by a proxy ({proxy}); {_HOW}"
        host = hostname(request.headers.get("host", ""))
        if host != "localhost" and not is_loopback(host):
            return f"this page is at localhost or 127.0.0.1, and was asked for as {host[:100]!r}; {_HOW}"
        return None
