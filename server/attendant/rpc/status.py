"""The one table from the error tree to gRPC codes, and the google.rpc details that machines read."""

from __future__ import annotations

import math

import grpc
from attendant_proto.v1 import encoding_pb2
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from attendant.core import errors
from attendant.core.stages import CallEnd

CODES: dict[type[errors.AttendantError], grpc.StatusCode] = {
    errors.AttendantError: grpc.StatusCode.INTERNAL,
    errors.InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    errors.TooLarge: grpc.StatusCode.INVALID_ARGUMENT,
    errors.ContextExceeded: grpc.StatusCode.INVALID_ARGUMENT,
    errors.ModelNotFound: grpc.StatusCode.NOT_FOUND,
    errors.ModelFailed: grpc.StatusCode.FAILED_PRECONDITION,
    errors.NotAllowed: grpc.StatusCode.FAILED_PRECONDITION,
    errors.NotOffered: grpc.StatusCode.UNIMPLEMENTED,
    errors.StreamNeeded: grpc.StatusCode.UNIMPLEMENTED,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.NotPermitted: grpc.StatusCode.PERMISSION_DENIED,
    errors.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.QueueFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.WouldBeLate: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.RequestCancelled: grpc.StatusCode.CANCELLED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.Draining: grpc.StatusCode.UNAVAILABLE,
    errors.EngineDead: grpc.StatusCode.UNAVAILABLE,
    errors.StepFailed: grpc.StatusCode.INTERNAL,
    errors.ConfigurationError: grpc.StatusCode.INTERNAL,
    errors.BundleError: grpc.StatusCode.INTERNAL,
    errors.DeviceOutOfMemory: grpc.StatusCode.INTERNAL,
    errors.DeviceFailed: grpc.StatusCode.INTERNAL,
    errors.MemoryTaken: grpc.StatusCode.INTERNAL,
}

SERVERS_FAULTS = frozenset(
    (
        *(grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNIMPLEMENTED),
        *(grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DATA_LOSS),
    )
)
"""Codes that a server answers for (OpenTelemetry's conventions for gRPC); the others are the caller's doing."""

DETAILS_KEY = "grpc-status-details-bin"
REQUEST_ID_KEY = "x-request-id"
TRACE_ID_KEY = "x-trace-id"
RETRY_KEY = "retry-after-ms"
PUSHBACK_KEY = "grpc-retry-pushback-ms"
"""By it a client's own policy of retries hears how long to wait."""
# Bytes. Peers refuse trailers above 8 KiB, and a message travels in them twice, once with each odd byte as three.
MAX_TEXT = 1024
MAX_NAME = 256

Trailers = tuple[tuple[str, str | bytes], ...]


def of(error: errors.AttendantError, request_id: str) -> tuple[grpc.StatusCode, str, Trailers]:
    """Code, message and trailing metadata that end a call with ``error``."""
    code = CODES[type(error)]
    message = _cut(str(error))
    trailers = _trailers(code, message, _details(error), request_id)
    if isinstance(error, errors.Overloaded | errors.Unavailable):
        milliseconds = str(math.ceil(error.retry_after_s * 1000))
        trailers = (*trailers, (RETRY_KEY, milliseconds), (PUSHBACK_KEY, milliseconds))
    return code, message, trailers


def end_of(code: grpc.StatusCode, message: str = "") -> CallEnd:
    """How a call ended, for its trace."""
    failed = code in SERVERS_FAULTS
    refused = not failed and code is not grpc.StatusCode.OK
    return CallEnd(code.name, failed, refused, message, cancelled=code is grpc.StatusCode.CANCELLED)


def call_error(error: errors.AttendantError) -> encoding_pb2.CallError:
    """What ends one call of a stream, as :func:`of` would end a call of its own."""
    return encoding_pb2.CallError(
        code=CODES[type(error)].value[0],
        message=_cut(str(error)),
        field=_cut(error.field, MAX_NAME) if isinstance(error, errors.InvalidRequest) else "",
        retry_after_s=error.retry_after_s if isinstance(error, errors.Overloaded | errors.Unavailable) else 0.0,
    )


def unexpected_call_error(call_id: str) -> encoding_pb2.CallError:
    """The same for an exception that nobody foresaw."""
    code, message, _ = of_unexpected(_cut(call_id, MAX_NAME))
    return encoding_pb2.CallError(code=code.value[0], message=message)


def of_unexpected(request_id: str) -> tuple[grpc.StatusCode, str, Trailers]:
    """The same for an exception that nobody foresaw: it says nothing but where to look."""
    message = f"internal error; the server's log has it under request id {request_id}"
    return grpc.StatusCode.INTERNAL, message, _trailers(grpc.StatusCode.INTERNAL, message, [], request_id)


def _details(error: errors.AttendantError) -> list[Message]:
    match error:
        case errors.InvalidRequest():
            violation = error_details_pb2.BadRequest.FieldViolation(
                field=_cut(error.field, MAX_NAME), description=_cut(error.reason)
            )
            return [error_details_pb2.BadRequest(field_violations=[violation])]
        case errors.ModelNotFound():
            listed = _cut("loaded models: " + (", ".join(error.available) or "none"))
            return [
                error_details_pb2.ResourceInfo(
                    resource_type="model", resource_name=_cut(error.name, MAX_NAME), description=listed
                )
            ]
        case errors.ModelFailed():
            violation = error_details_pb2.PreconditionFailure.Violation(
                type="MODEL", subject=_cut(error.name, MAX_NAME), description=_cut(error.cause)
            )
            return [error_details_pb2.PreconditionFailure(violations=[violation])]
        case errors.Overloaded() | errors.Unavailable():
            delay = duration_pb2.Duration()
            delay.FromNanoseconds(round(error.retry_after_s * 1e9))
            return [error_details_pb2.RetryInfo(retry_delay=delay)]
    return []


def _trailers(code: grpc.StatusCode, message: str, details: list[Message], request_id: str) -> Trailers:
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in [*details, error_details_pb2.RequestInfo(request_id=request_id)]:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return ((DETAILS_KEY, status.SerializeToString()), (REQUEST_ID_KEY, request_id))


def _cut(text: str, limit: int = MAX_TEXT) -> str:
    data = text.encode()
    return text if len(data) <= limit else data[: limit - 3].decode(errors="ignore") + "..."
