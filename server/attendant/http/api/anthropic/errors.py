"""How Anthropic's API says that something went wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from attendant.core.context import current_call
from attendant.core.errors import AttendantError, ContextExceeded
from attendant.http.api.anthropic.bodies import ConversationBody
from attendant.http.api.dialect import Dialect

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    501: "invalid_request_error",
    503: "overloaded_error",
    504: "timeout_error",
}
"""The type of an error by its status; of others below 500 it is as of 400, and else ``api_error``."""


def error_body(error: AttendantError, status: int) -> dict[str, Any]:
    """The object that ends a call, or stands in the last event of a stream."""
    message = str(error)
    if isinstance(error, ContextExceeded):  # clients that shorten a conversation look for these words
        message = f"prompt is too long: {message}"
    context = current_call()
    return {
        "type": "error",
        "error": {"type": TYPES.get(status, TYPES[400] if status < 500 else "api_error"), "message": message},
        "request_id": context.request_id if context is not None else None,
    }


ANTHROPIC = Dialect(
    error_body,
    {
        "chat": "messages",
        "continue_final_message": "messages",
        "stop": "stop_sequences",
        "grammar": "output_config.format",
        "grammar.json_schema": "output_config.format.schema",
        "reasoning_effort": "thinking",
    },
    event="error",
)


def dialect_of(body: ConversationBody) -> Dialect:
    """The dialect for one body: what can be said in two ways has the name that it has there."""
    own = dict(ANTHROPIC.fields)
    if body.output_format is not None:
        own |= {"grammar": "output_format", "grammar.json_schema": "output_format.schema"}
    if body.output_config is not None and body.output_config.effort is not None:
        own["reasoning_effort"] = "output_config.effort"
    return replace(ANTHROPIC, fields=own)
