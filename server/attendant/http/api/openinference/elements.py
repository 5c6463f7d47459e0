"""Elements of tensors in JSON to their bytes, and back: a value that does not fit its type is refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any, cast

import numpy as np

from attendant.core.errors import InvalidRequest
from attendant.rpc.openinference.contents import Values, objects, raw_of, read_raw
from attendant.rpc.openinference.datatypes import KINDS
from attendant.rpc.openinference.ports import Datatype

PIECE = 4096
"""Elements that are read at once: between two pieces other threads get their turn."""

_TAKEN: dict[str, tuple[frozenset[type], str]] = {
    "b": (frozenset((bool,)), "true or false"),
    "i": (frozenset((int,)), "whole numbers"),
    "u": (frozenset((int,)), "whole numbers"),
    "f": (frozenset((int, float)), "numbers"),
    "O": (frozenset((str,)), "texts; bytes that are no text come after the JSON (parameter binary_data_size)"),
}
"""By numpy's kind: the types that JSON's values may have."""


def raw_of_json(data: list[Any], datatype: Datatype, shape: Sequence[int], field: str) -> bytes:
    """The bytes of a tensor.

    Args:
        data: its elements in order, or nested as its shape says.
        shape: of sizes that no tensor lacks.
        field: names the data in errors.

    Raises:
        InvalidRequest: too few or too many elements, or rows of other lengths; an element of another type, or out of
            its type's range; a type that JSON has no elements of.
    """
    kind = KINDS[datatype]
    if kind.field is None:
        raise InvalidRequest(
            field, f"is given, of {datatype}; allowed: bytes after the JSON, with the parameter binary_data_size"
        )
    flat = _flat(data, shape, field)
    count = math.prod(shape)
    if len(flat) != count:
        raise InvalidRequest(field, f"has {len(flat)} elements; allowed: {count}, as the shape is {list(shape)[:16]}")
    begins = range(0, count, PIECE)
    return b"".join([_raw_of_piece(flat[begin : begin + PIECE], datatype, begin, field) for begin in begins])


def json_of_raw(raw: bytes, datatype: str, shape: Sequence[int], name: str) -> list[Any]:
    """The elements of a tensor of an answer, in order; numbers exactly.

    Raises:
        InvalidRequest: JSON has no words for some of them.
    """
    kind = KINDS[cast(Datatype, datatype)]
    field = f"outputs[{name}]"
    if kind.field is None:
        raise _binary_only(field, f"is of {datatype}")
    values = read_raw(raw, cast(Datatype, datatype), shape, field)
    if kind.dtype.kind == "f" and not np.isfinite(values).all():
        raise _binary_only(field, "has values that are no finite numbers")
    if datatype != "BYTES":
        return values.ravel().tolist()
    try:
        return [each.decode() for each in values.ravel().tolist()]
    except UnicodeDecodeError:
        raise _binary_only(field, "has bytes that are no text in UTF-8") from None


def _raw_of_piece(flat: list[Any], datatype: Datatype, begin: int, field: str) -> bytes:
    taken, allowed = _TAKEN[KINDS[datatype].dtype.kind]
    if not taken.issuperset(map(type, flat)):
        place = next(place for place, each in enumerate(flat) if type(each) not in taken)
        found = type(flat[place]).__name__ if flat[place] is not None else "null"
        raise InvalidRequest(field, f"has {found} as element {begin + place}; allowed, for {datatype}: {allowed}")
    if datatype == "BYTES":
        return raw_of(objects([each.encode() for each in flat]), datatype)
    return _numbers(flat, datatype, field).tobytes()


def _binary_only(field: str, why: str) -> InvalidRequest:
    return InvalidRequest(field, f"{why}, which JSON cannot have; allowed: with the parameter binary_data true")


def _flat(data: list[Any], shape: Sequence[int], field: str) -> list[Any]:
    """The elements in order, of lists that are nested as the shape is."""
    flat = data
    if list not in map(type, flat[:1]):
        return flat
    for depth, size in enumerate(shape[:-1]):
        inner = shape[depth + 1]
        if any(type(each) is not list or len(each) != inner for each in flat) or (depth == 0 and len(flat) != size):
            raise InvalidRequest(
                field, f"is not nested as the shape {list(shape)[:16]} says; allowed: so, or elements in one list"
            )
        flat = list(chain.from_iterable(flat))
    return flat


def _numbers(flat: list[Any], datatype: Datatype, field: str) -> Values:
    dtype = KINDS[datatype].dtype
    if dtype.kind in "iu" and flat:
        allowed = np.iinfo(dtype)
        least, most = min(flat), max(flat)
        if least < allowed.min or most > allowed.max:
            wrong = least if least < allowed.min else most
            shown = str(wrong) if abs(wrong) < 10**40 else "a number of more than 40 digits"
            raise InvalidRequest(field, f"has {shown}; allowed, for {datatype}: {allowed.min} to {allowed.max}")
    if dtype.kind != "f":
        return np.array(flat, dtype)
    try:
        wide = np.array(flat, np.float64)
    except OverflowError:
        raise InvalidRequest(field, f"has a number that is out of the range of {datatype}") from None
    with np.errstate(over="ignore"):
        values = wide.astype(dtype)
    if not np.array_equal(np.isfinite(values), np.isfinite(wide)):
        raise InvalidRequest(field, f"has a number that is out of the range of {datatype}")
    return values
