"""Every error has a code, and what machines need to act on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from attendant.core import errors
from attendant.rpc import status
from google.rpc import error_details_pb2, status_pb2

EXAMPLES: dict[type[errors.AttendantError], tuple[object, ...]] = {
    errors.ModelFailed: ("m", "the graph is gone"),
    errors.InvalidRequest: ("sampling.top_p", "is 2; allowed: at most 1"),
    errors.TooLarge: ("body", "has 3 bytes; allowed: at most 2"),
    errors.ContextExceeded: ("text", "has 9 tokens; allowed: at most 7"),
    errors.ModelNotFound: ("x", ("a", "b")),
    errors.Overloaded: ("too much", 1.5),
    errors.QueueFull: ("m", 8, 1.5),
    errors.WouldBeLate: ("m", "the first token", 2.5, 1.0, 1.5),
    errors.BundleError: ("/somewhere", "is gone"),
    errors.DeviceOutOfMemory: (0, 3_000_000_000, 1_000_000_000, 8_000_000_000, "the model"),
    errors.MemoryTaken: ("m", "the CPU", 3, 1, (("other", 2),)),
}


def tree(root: type[errors.AttendantError]) -> Iterator[type[errors.AttendantError]]:
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


def details(trailers: status.Trailers) -> status_pb2.Status:
    return status_pb2.Status.FromString(dict(trailers)[status.DETAILS_KEY])


def unpack(trailers: status.Trailers, kind: type) -> Any:
    for packed in details(trailers).details:
        message = kind()
        if packed.Unpack(message):
            return message
    raise AssertionError(f"no {kind}")


def test_the_table_covers_the_tree() -> None:
    assert set(status.CODES) == set(tree(errors.AttendantError))


@pytest.mark.parametrize("error", sorted(status.CODES, key=str))
def test_every_error_ends_a_call(error: type[errors.AttendantError]) -> None:
    code, message, trailers = status.of(error(*EXAMPLES.get(error, ("because",))), "id-1")
    assert code is status.CODES[error]
    assert message
    assert dict(trailers)[status.REQUEST_ID_KEY] == "id-1"
    rich = details(trailers)
    assert (rich.code, rich.message) == (code.value[0], message)
    assert unpack(trailers, error_details_pb2.RequestInfo).request_id == "id-1"


def test_an_invalid_field_is_named() -> None:
    _, message, trailers = status.of(errors.InvalidRequest("sampling.top_p", "is 2; allowed: at most 1"), "id")
    violation = unpack(trailers, error_details_pb2.BadRequest).field_violations[0]
    assert (violation.field, violation.description) == ("sampling.top_p", "is 2; allowed: at most 1")
    assert message == "sampling.top_p is 2; allowed: at most 1"


def test_the_models_that_exist_are_listed() -> None:
    _, message, trailers = status.of(errors.ModelNotFound("x", ("a", "b")), "id")
    resource = unpack(trailers, error_details_pb2.ResourceInfo)
    assert (resource.resource_type, resource.resource_name) == ("model", "x")
    assert "a, b" in resource.description
    assert "'a', 'b'" in message


@pytest.mark.parametrize("error", [errors.QueueFull("m", 8, 1.25), errors.EngineDead("m is dead", 1.25)])
def test_a_server_that_takes_nothing_now_says_when_to_come_back(error: errors.AttendantError) -> None:
    _, _, trailers = status.of(error, "id")
    assert unpack(trailers, error_details_pb2.RetryInfo).retry_delay.ToNanoseconds() == 1_250_000_000
    assert dict(trailers)[status.RETRY_KEY] == dict(trailers)[status.PUSHBACK_KEY] == "1250"
    assert status.call_error(error).retry_after_s == 1.25


@pytest.mark.parametrize("letter", ["a", "é", "\U0001f600", "%"])
def test_trailers_stay_below_the_limit_of_peers(letter: str) -> None:
    for error in (
        errors.InvalidRequest(letter * 100_000, letter * 100_000),
        errors.ModelNotFound(letter * 100_000, (letter * 100_000,)),
    ):
        _, message, trailers = status.of(error, "i" * 128)
        encoded = sum(len(key) + len(value) * 4 / 3 + 32 for key, value in trailers)
        assert encoded + 3 * len(message.encode()) < 8192


def test_an_unforeseen_exception_says_only_where_to_look() -> None:
    code, message, trailers = status.of_unexpected("id-9")
    assert code is grpc.StatusCode.INTERNAL
    assert "id-9" in message
    assert details(trailers).code == code.value[0]


@pytest.mark.parametrize(
    ("name", "task", "said"),
    [
        ("x", None, "no model named 'x' is loaded; loaded models: 'a', 'b'"),
        ("", "embed", "no model for task 'embed' is loaded; loaded models: 'a', 'b'"),
        ("", None, "no model is named, and there is not just one; loaded models: 'a', 'b'"),
    ],
)
def test_a_model_that_is_not_there(name: str, task: str | None, said: str) -> None:
    code, message, _ = status.of(errors.ModelNotFound(name, ("a", "b"), task), "id")
    assert (code, message) == (grpc.StatusCode.NOT_FOUND, said)
