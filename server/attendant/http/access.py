"""Who may ask for what over HTTP, and what a request shows of who makes it. What is not named here takes the right to
ask models."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from attendant.core.caller import Right, acting_for
from attendant.core.errors import AttendantError
from attendant.core.tally import CallLog
from attendant.http.api.answers import BEARER, error_answer
from attendant.http.api.routes import dialect_of
from attendant.http.calls import REQUEST_ID, call_context, end_of, is_logged, method_of
from attendant.http.errors import PLAIN, status_of
from attendant.http.protocol import CERTIFIED
from attendant.security.door import Door, Shown, bearer_token

OPEN = frozenset(("/healthz", "/health", "/ping", "/v2/health/live", "/v2/health/ready"))
"""For everyone: they say whether the server takes calls."""
METRICS = frozenset(("/metrics", "/metrics/load"))
FIGURES = frozenset(("/page/events",))
"""What tells of every model, as the metrics do."""
_LOOKS = ("GET", "HEAD", "OPTIONS")
_CHANGES = ("/v2/repository/", "/v2/logging", "/v2/trace/setting")
"""What asks for more where it is done; calls that only look there send bodies, too."""

API_KEY = "x-api-key"
"""Where Anthropic's clients have their token."""
_BROWSED = ("/", "/docs", "/openapi.json")
_ASKS_BROWSERS = 'Basic realm="attendant: the token is the password", charset="UTF-8"'


class Known:
    """An app that only callers reach who are known and may ask for what they ask for.

    Args:
        door: says who they are.
        log: writes a line of each call that is turned away; None: nobody does.
    """

    def __init__(self, app: ASGIApp, door: Door, log: CallLog | None = None) -> None:
        self._app = app
        self._door = door
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        path, headers = scope["path"], Headers(scope=scope)
        context = call_context(scope)
        certified = scope.get(CERTIFIED, ())
        method = f"{scope['method'][:20]} {path[:100]}"
        shown = Shown(token_of(headers, path), lambda: certified, context.client, method, context.request_id)
        try:
            caller = self._door.admit(shown, right_of(scope["method"], path))
        except AttendantError as error:
            # Who waits for leave to send a body must not take the next request for it.
            told = {REQUEST_ID: context.request_id, "connection": "close"}
            if is_browsed(path):
                told["www-authenticate"] = f"{_ASKS_BROWSERS}, {BEARER}"
            if self._log is not None and is_logged(scope):
                context = self._log.begin(context, "http", method_of(scope))
                context.end(end_of(status_of(error)), type(error))
            await error_answer(dialect_of(path) or PLAIN, error, headers=told)(scope, receive, send)
            return
        with acting_for(caller):
            await self._app(scope, receive, send)

    def _is_open(self, path: str) -> bool:
        return path in OPEN or (self._door.metrics_open and path in METRICS)


def right_of(method: str, path: str) -> Right | None:
    """What a request takes; None: anybody who is known may make it."""
    if path in METRICS or path in FIGURES:
        return Right.METRICS
    return None if method in _LOOKS or path.startswith(_CHANGES) else Right.INFER


def token_of(headers: Mapping[str, str], path: str) -> str | None:
    """The token of a request; empty for something that is none, None for nothing. Browsers have it as the password of a
    user of any name, and only for what is made for them."""
    authorization = headers.get("authorization")
    if authorization is None:
        return headers.get(API_KEY)
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "basic" and is_browsed(path):
        return _password(rest)
    return bearer_token(authorization)


def is_browsed(path: str) -> bool:
    """Whether people ask for it in a browser."""
    return path in _BROWSED or path.startswith(("/page/", "/docs/"))


def _password(encoded: str) -> str:
    try:
        return base64.b64decode(encoded.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""
