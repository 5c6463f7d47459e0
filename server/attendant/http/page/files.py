"""The files of the page: what a browser loads, and what it may do with it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType

from starlette.requests import Request
from starlette.responses import Response

HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' blob: data:; media-src 'self' blob:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "microphone=(self), camera=(), geolocation=()",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }
)
"""Of every answer of the page: scripts and styles from this server alone, none of them inline, no frames."""

TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}
"""Content types of files, by the ends of their names."""


@dataclass(frozen=True, slots=True)
class File:
    """A file as it is sent."""

    body: bytes
    content_type: str
    etag: str

    def answer(self, request: Request) -> Response:
        """The file, or 304 for who has it already."""
        headers = {**HEADERS, "etag": self.etag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == self.etag:
            return Response(status_code=304, headers=headers)
        return Response(self.body, headers={**headers, "content-type": self.content_type})


def page_files() -> dict[str, File]:
    """Every file of the page, by name."""
    found = {}
    for path in files(__package__ or __name__).joinpath("static").iterdir():
        ending = path.name.rpartition(".")[2]
        if ending in TYPES:
            body = path.read_bytes()
            found[path.name] = File(body, TYPES[ending], f'"{hashlib.sha256(body).hexdigest()[:16]}"')
    return found
