"""Errors as OpenAI's API has them, which its clients make exceptions of."""

from __future__ import annotations

from typing import Any

from attendant.core.errors import (
    AttendantError,
    ContextExceeded,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    QueueFull,
    WouldBeLate,
)
from attendant.http.api.dialect import Dialect

_CODES: dict[type[AttendantError], str] = {
    ContextExceeded: "context_length_exceeded",
    ModelNotFound: "model_not_found",
    Overloaded: "rate_limit_exceeded",
    QueueFull: "rate_limit_exceeded",
    WouldBeLate: "rate_limit_exceeded",
}
"""Of the errors that programs tell apart by a code."""


def openai_error(error: AttendantError, status: int) -> dict[str, Any]:
    """The object that says what was wrong. ``param`` is the field, where there is one."""
    param = error.field if isinstance(error, InvalidRequest) else "model" if isinstance(error, ModelNotFound) else None
    message = str(error)
    if isinstance(error, ContextExceeded):  # clients that shorten a conversation look for these words, not for the code
        message = f"this model's maximum context length is exceeded: {message}"
    said = {"message": message, "type": _type(status), "param": param, "code": _CODES.get(type(error))}
    return {"error": said}


def _type(status: int) -> str:
    if status == 429:
        return "requests"  # what the limit counts
    return "server_error" if status >= 500 else "invalid_request_error"


OPENAI = Dialect(openai_error)
"""For endpoints whose fields have the names that the front end has. ``dataclasses.replace`` gives others theirs."""
