"""A call over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from urllib3 import BaseHTTPResponse, PoolManager, Timeout
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as TimedOut

from attendant_loadtest.calls.outcome import Failure, Outcome, Watch, watching
from attendant_loadtest.calls.subject import Subject

Body = Callable[[Subject], dict[str, Any]]

FAILED = ("error", "response.failed")
"""Types of events that tell an error without a field for it."""


@dataclass(frozen=True, slots=True)
class Route:
    """One call of an API.

    Attributes:
        path: with ``{model}`` for the name of the model, as the server's routes have it.
        body: makes what is sent as JSON; None: it is a GET, or a POST of nothing.
        needs: see :meth:`Models.able`.
        streams: the body asks for events.
        form: the body goes as a form; values that are bytes are files.
        header: whether the model is named in the header ``model``.
        method: of HTTP; without one, POST where there is a body.
    """

    path: str
    body: Body | None = None
    needs: str = ""
    streams: bool = False
    form: bool = False
    header: bool = False
    method: str = ""

    @property
    def name(self) -> str:
        """In statistics."""
        return self.path + (" (stream)" if self.streams else "")

    @property
    def verb(self) -> str:
        """The method of HTTP."""
        return self.method or ("GET" if self.body is None else "POST")


class Site:
    """A connection of its own to a server's HTTP (``http://host:port``).

    Args:
        token: of the caller; None for none. context: of TLS, an ``ssl.SSLContext``.
    """

    def __init__(self, address: str, token: str | None = None, context: Any = None) -> None:
        self._address = address.rstrip("/")
        self._headers = {} if token is None else {"authorization": f"Bearer {token}"}
        self._pool = PoolManager(maxsize=1, retries=False, ssl_context=context)

    def call(self, route: Route, subject: Subject, timeout_s: float | None) -> Outcome:
        """Make a call, and read its answer to the end."""
        url = self._address + route.path.replace("{model}", subject.model).replace("{version}", "1")
        sent: dict[str, Any] = {"headers": self._headers | ({"model": subject.model} if route.header else {})}
        if route.body is not None:
            body = route.body(subject)
            sent["fields" if route.form else "json"] = body
        with watching() as watch:
            try:
                answer = self._pool.request(
                    route.verb, url, preload_content=False, timeout=Timeout(timeout_s), retries=False, **sent
                )
                try:
                    _read(route, answer, watch)
                finally:
                    answer.drain_conn()
                    answer.release_conn()
            except TimedOut:
                raise Failure("timed out") from None
            except HTTPError as error:
                raise Failure(type(error).__name__) from None
        return watch.outcome

    def close(self) -> None:
        """Close the connection."""
        self._pool.clear()


def _read(route: Route, answer: BaseHTTPResponse, watch: Watch) -> None:
    if answer.status != 200:
        said, after = answer.read(), answer.headers.get("retry-after", "")
        kind = f"{answer.status} {kind_of(said)}".strip()
        raise Failure(kind, said.decode(errors="replace"), float(after) if after.isdigit() else 0.0)
    if not route.streams:
        watch.read(len(answer.read()))
        return
    for line in _lines(answer):
        if line.startswith(b"data:"):
            watch.part(len(line))
            if kind := kind_of(line.removeprefix(b"data:")):
                raise Failure(f"event: {kind}", line.decode(errors="replace"))
    if watch.outcome.first_s is None:
        raise Failure("no events came")


def _lines(answer: BaseHTTPResponse) -> Any:
    left = b""
    for piece in answer.stream(amt=None, decode_content=True):
        *lines, left = (left + piece).split(b"\n")
        yield from lines
    if left:
        yield left


def kind_of(body: bytes) -> str:
    """The word by which an error's body names it, in whichever API's shape; "" where it has none, or is no error."""
    try:
        said = json.loads(body)
    except ValueError:
        return ""
    if not isinstance(said, dict):
        return ""
    error = said.get("error")
    if isinstance(error, dict):
        return str(error.get("code") or error.get("type") or "error")
    if error or said.get("type") in FAILED:
        return str(said.get("error_type") or said.get("code") or "error")
    return ""
