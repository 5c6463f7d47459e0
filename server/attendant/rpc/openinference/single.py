"""Inputs of one element: a text, a flag, a JSON."""

from __future__ import annotations

import json
from typing import Any

from attendant.core.errors import InvalidRequest, StreamNeeded
from attendant.core.json_values import check_values
from attendant.core.shown import shown as as_json
from attendant.rpc.openinference.ports import InferCall
from attendant.rpc.sizes import LARGE_REQUEST

_MOST_SHOWN = 100


def field_of(name: str) -> str:
    """How errors call an input."""
    return f"inputs[{name}]"


def element(call: InferCall, name: str) -> Any:
    """The value of an input of one element; None if the request leaves it out.

    Raises:
        InvalidRequest: it has more elements, or none.
    """
    tensor = call.inputs.get(name)
    if tensor is None:
        return None
    if tensor.values.size != 1:
        raise InvalidRequest(field_of(name), f"has {tensor.values.size} elements; allowed: 1")
    return tensor.values.item()


def flag(call: InferCall, name: str) -> bool | None:
    """The value of an input of type BOOL; None if the request leaves it out. Raises what :func:`element` does."""
    value = element(call, name)
    return None if value is None else bool(value)


def stream_wanted(call: InferCall, name: str, *, alone: bool) -> bool:
    """Whether the input ``name`` asks for a stream. Raises StreamNeeded where ``alone`` one response can be taken."""
    stream = bool(flag(call, name))
    if stream and alone:
        raise StreamNeeded(
            f"{field_of(name)} is true, and ModelInfer takes one response; allowed: false, or ModelStreamInfer"
        )
    return stream


def text(call: InferCall, name: str) -> str | None:
    """The value of an input of type BYTES; None if the request leaves it out.

    Raises:
        InvalidRequest: it has more elements than one, or is not UTF-8.
    """
    value: bytes | None = element(call, name)
    return None if value is None else as_text(value, field_of(name))


def as_text(value: bytes, field: str) -> str:
    """Bytes as text. Raises InvalidRequest, which names ``field``, if they are not UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            field, f"is not UTF-8 ({error.reason} at byte {error.start}); allowed: text in UTF-8"
        ) from None


def is_large(call: InferCall) -> bool:
    """Whether reading what its inputs say takes long enough to be done in a thread."""
    tensors = call.inputs.values()
    texts = (tensor.values.ravel() for tensor in tensors if tensor.datatype == "BYTES")
    numbers = sum([tensor.values.nbytes for tensor in tensors if tensor.datatype != "BYTES"])
    return numbers + sum(len(value) for values in texts for value in values) > LARGE_REQUEST


def parsed(words: str, field: str, allowed: str) -> Any:
    """The value of a text in JSON.

    Args:
        allowed: what it has to be, for the error.

    Raises:
        InvalidRequest: it is no JSON, or has too many values, or an object in it has a name twice.
    """
    check_values(words, field)
    try:
        value = json.loads(words, object_pairs_hook=_object)
        if "\\ud" in words.lower():  # the half of a pair of surrogates is no text
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except RecursionError:
        raise InvalidRequest(field, f"is nested too deeply; allowed: {allowed}") from None
    except ValueError as error:
        raise InvalidRequest(field, f"is not JSON ({error}); allowed: {allowed}") from None


def shown(value: object) -> str:
    """A value for an error: as JSON, and not all of a long one."""
    return as_json(value, _MOST_SHOWN)


def cut(words: str) -> str:
    """Words for an error: not all of many."""
    return words if len(words) <= _MOST_SHOWN else f"{words[:_MOST_SHOWN]}..."


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{shown(twice)} is there twice")
    return found
