"""Elements of tensors on the wire: raw bytes, or one by one in the field of their type. Numbers that are raw are read
where they are; nothing is copied element by element but BYTES."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from attendant_proto.openinference import inference_pb2 as pb

from attendant.core.errors import InvalidRequest
from attendant.rpc.openinference.datatypes import KINDS
from attendant.rpc.openinference.ports import Datatype

Values = npt.NDArray[Any]

MOST_OF_A_SIZE = 2**31 - 1
MOST_OF_ALL = 2**40
"""The other sizes of a tensor without elements, together."""

_LENGTH = struct.Struct("<I")


def check_shape(shape: Sequence[int], field: str) -> None:
    """Raises InvalidRequest for sizes that no tensor has."""
    if not shape:
        return
    large = 0 in shape and math.prod([size or 1 for size in shape]) > MOST_OF_ALL  # else its bytes are counted
    if large or min(shape) < 0 or max(shape) > MOST_OF_A_SIZE:
        raise InvalidRequest(
            field, f"is {list(shape)[:16]}; allowed: sizes of 0 to {MOST_OF_A_SIZE}, {MOST_OF_ALL} in all"
        )


def read_raw(data: bytes, datatype: Datatype, shape: Sequence[int], field: str) -> Values:
    """A tensor of its bytes; numbers are a view of ``data``.

    Args:
        shape: of sizes that :func:`check_shape` allows.
        field: names the bytes in errors.

    Raises:
        InvalidRequest: not as many bytes as the shape takes, or none that are such elements.
    """
    count = math.prod(shape)
    if datatype == "BYTES":
        return _shaped(_byte_elements(data, count, field), shape)
    dtype = KINDS[datatype].dtype
    if len(data) != count * dtype.itemsize:
        raise InvalidRequest(
            field,
            f"has {len(data)} bytes; allowed: {count * dtype.itemsize}, as shape {list(shape)} has {count} elements of "
            f"{datatype}, {dtype.itemsize} bytes each",
        )
    if datatype == "BOOL" and count and np.frombuffer(data, np.uint8).max() > 1:
        raise InvalidRequest(field, "has a byte that is neither 0 nor 1; allowed, for BOOL: 0 and 1")
    return _shaped(np.frombuffer(data, dtype), shape)


def read_contents(contents: pb.InferTensorContents, datatype: Datatype, shape: Sequence[int], field: str) -> Values:
    """A tensor whose elements stand in the field of their type.

    Raises:
        InvalidRequest: another field is set, the elements are not as many as the shape takes, or one is out of the
            type's range.
    """
    count, kind = math.prod(shape), KINDS[datatype]
    wrong = [found.name for found, _ in contents.ListFields() if found.name != kind.field]
    if wrong or (kind.field is None and count):
        named = ", ".join(wrong) or "no elements"
        allowed = f"{kind.field}, for {datatype}" if kind.field else f"raw_input_contents only, for {datatype}"
        raise InvalidRequest(field, f"has {named}; allowed: {allowed}")
    elements: Sequence[Any] = getattr(contents, kind.field) if kind.field else ()
    if len(elements) != count:
        raise InvalidRequest(
            f"{field}.{kind.field}", f"has {len(elements)} elements; allowed: {count}, as the shape is {list(shape)}"
        )
    if datatype == "BYTES":
        return _shaped(objects(list(elements)), shape)
    return _shaped(_numbers(elements, datatype, count, f"{field}.{kind.field}"), shape)


def objects(elements: Sequence[Any]) -> Values:
    """Values of any kind [n], as a tensor of BYTES has them."""
    values = np.empty(len(elements), object)
    values[:] = elements
    return values


def raw_of(values: Values, datatype: Datatype) -> bytes:
    """The bytes of a tensor, as raw contents have them."""
    if datatype == "BYTES":
        parts: list[bytes] = []
        for element in values.ravel().tolist():
            parts += (_LENGTH.pack(len(element)), element)
        return b"".join(parts)
    return values.astype(KINDS[datatype].dtype, copy=False).tobytes()


def contents_of(values: Values, datatype: Datatype) -> pb.InferTensorContents | None:
    """The same in the field of their type; None for a type that has none."""
    field = KINDS[datatype].field
    return None if field is None else pb.InferTensorContents(**{field: values.ravel().tolist()})


def _numbers(elements: Sequence[Any], datatype: Datatype, count: int, field: str) -> Values:
    dtype = KINDS[datatype].dtype
    if dtype.itemsize > 2 or dtype.kind not in "iu":  # the field has the type's own range
        return np.fromiter(elements, dtype, count)
    wide = np.fromiter(elements, np.int64, count)
    allowed = np.iinfo(dtype)
    if count and not allowed.min <= wide.min() <= wide.max() <= allowed.max:
        raise InvalidRequest(
            field, f"has {wide.min()} to {wide.max()}; allowed, for {datatype}: {allowed.min} to {allowed.max}"
        )
    return wide.astype(dtype)


def _byte_elements(data: bytes, count: int, field: str) -> Values:
    if count * _LENGTH.size > len(data):
        raise InvalidRequest(
            field,
            f"has {len(data)} bytes; allowed: at least {count * _LENGTH.size}, as the shape has {count} elements of "
            "BYTES, each with its length before it, 4 bytes little-endian",
        )
    elements: list[bytes] = []
    place = 0
    for _ in range(count):
        begin = place + _LENGTH.size
        place = begin + _LENGTH.unpack_from(data, place)[0] if begin <= len(data) else begin
        if place > len(data):
            raise InvalidRequest(
                field,
                f"ends within element {len(elements)}; allowed: each element whole, its length before it, 4 bytes "
                "little-endian",
            )
        elements.append(data[begin:place])
    if place != len(data):
        raise InvalidRequest(
            field, f"has {len(data) - place} bytes after its {count} elements; allowed: none, as the shape says"
        )
    return objects(elements)


def _shaped(values: Values, shape: Sequence[int]) -> Values:
    return values if len(shape) == 1 else values.reshape(shape)
