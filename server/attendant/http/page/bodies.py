"""What browsers send to try a model, as JSON: read up to a limit, checked field by field."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from starlette.requests import Request

from attendant.core.errors import InvalidRequest

MOST_BYTES = 64 * 1024 * 1024
"""Of a body: a recording of about twenty minutes."""


class Body(BaseModel):
    """The fields of one call. A field that is not declared is refused, as it would be ignored otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


B = TypeVar("B", bound=Body)


def _decoded(value: Any) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise ValueError("is not base64") from None


FileBytes = Annotated[bytes, BeforeValidator(_decoded)]
"""A file, base64 in JSON."""


async def read_body(request: Request, kind: type[B]) -> B:
    """The body of a request.

    Raises:
        InvalidRequest: it is too large, no JSON, or a field of it is not as it has to be.
    """
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            raise InvalidRequest("body", f"has more than {MOST_BYTES:,} bytes, which is the limit")
        parts.append(part)
    try:
        return kind.model_validate_json(b"".join(parts))
    except ValidationError as error:
        raise _refusal(kind, error) from None


def _refusal(kind: type[Body], error: ValidationError) -> InvalidRequest:
    """The first thing that is wrong, without what was sent."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
    if first["type"] == "extra_forbidden":
        return InvalidRequest(field[:100], f"is not known; allowed: {', '.join(kind.model_fields)}")
    if first["type"] == "missing":
        return InvalidRequest(field, "is missing")
    return InvalidRequest(field or "body", f"is not as it has to be: {first['msg']}")
