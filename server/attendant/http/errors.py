"""The one table from the error tree to HTTP statuses, and what callers hear who speak no API's dialect."""

from __future__ import annotations

from typing import Any

from attendant.core import errors
from attendant.http.api.dialect import Dialect

STATUSES: dict[type[errors.AttendantError], int] = {
    errors.AttendantError: 500,
    errors.InvalidRequest: 400,
    errors.TooLarge: 413,
    errors.ContextExceeded: 400,
    errors.ModelNotFound: 404,
    errors.ModelFailed: 503,
    errors.NotAllowed: 403,
    errors.NotOffered: 501,
    errors.StreamNeeded: 501,
    errors.Unauthenticated: 401,
    errors.NotPermitted: 403,
    errors.Overloaded: 429,
    errors.QueueFull: 429,
    errors.WouldBeLate: 429,
    errors.DeadlineExceeded: 504,
    errors.RequestCancelled: 499,  # the caller has gone: nobody reads it
    errors.Unavailable: 503,
    errors.Draining: 503,
    errors.EngineDead: 503,
    errors.StepFailed: 500,
    errors.ConfigurationError: 500,
    errors.BundleError: 500,
    errors.DeviceOutOfMemory: 500,
    errors.DeviceFailed: 500,
    errors.MemoryTaken: 500,
}


CONTENT_TYPE = "content-type"
CONTENT_ENCODING = "content-encoding"
"""The headers that say what a body is; an error about them has a status of its own."""


def status_of(error: errors.AttendantError) -> int:
    """The status that ends a call with ``error``."""
    if isinstance(error, errors.InvalidRequest) and error.field in (CONTENT_TYPE, CONTENT_ENCODING):
        return 415
    return STATUSES[type(error)]


def error_body(error: errors.AttendantError, status: int = 0) -> dict[str, Any]:
    """What was wrong, in words; of a request that breaks a rule also the field, of too much work when to come again."""
    body: dict[str, Any] = {"error": str(error)}
    if isinstance(error, errors.InvalidRequest):
        body["field"] = error.field
    if isinstance(error, errors.Overloaded):
        body["retry_after_s"] = error.retry_after_s
    return body


PLAIN = Dialect(error_body)
"""Of pages that belong to no API."""
