"""What answers look like that are no page of their own: an object of JSON on a line."""

from __future__ import annotations

import json
from collections.abc import Mapping

from starlette.responses import Response


def said(status: int, body: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Response:
    """``body`` as JSON."""
    return Response(json.dumps(body) + "\n", status, headers, "application/json")


def page(body: bytes, content_type: str) -> Response:
    """A page with exactly this content type."""
    return Response(body, headers={"content-type": content_type})
