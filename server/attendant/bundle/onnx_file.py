"""What an ONNX file names: the files its weights are in, and the operators it calls. Read without the weights.

Only what is needed of onnx.proto3 (ONNX 1.21) is known here, by its numbers; all else is passed over.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_MAX_DEPTH = 64
"""Messages within messages: a graph in a branch of a graph has two each."""

Value = int | memoryview


@dataclass(frozen=True, slots=True)
class ExternalData:
    """Where the values of a tensor are, as its file says it: words by name, each once."""

    words: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class OnnxNames:
    """All that a file names.

    Attributes:
        operators: domain and name of those that are called. functions: of those that the file defines itself.
        external: of tensors whose values are elsewhere.
    """

    operators: set[tuple[str, str]] = field(default_factory=set)
    functions: set[tuple[str, str]] = field(default_factory=set)
    external: list[ExternalData] = field(default_factory=list)


class OnnxBroken(ValueError):
    """It is no file of ONNX; says why."""


_KINDS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "tensor": {},
}
"""Kinds of messages, and those that they have in fields of these numbers."""


def read_names(path: Path) -> OnnxNames:
    """What the file at ``path`` names. Nothing of its weights is read.

    Raises:
        OnnxBroken: it is no file of ONNX. OSError: it cannot be read.
    """
    names = OnnxNames()
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise OnnxBroken("it is empty")
        whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))  # unmapped when nobody looks any more
    try:
        _read(whole, "model", names, 0)
    except UnicodeDecodeError:
        raise OnnxBroken("a name in it is no text") from None
    return names


def _read(data: memoryview, kind: str, names: OnnxNames, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise OnnxBroken(f"it has messages more than {_MAX_DEPTH} deep")
    inside = _KINDS[kind]
    called: dict[int, list[str]] = {}
    words: list[tuple[str, str]] = []
    for number, value in _fields(data):
        if isinstance(value, int):
            continue
        if number in inside:
            _read(value, inside[number], names, depth + 1)
        elif (kind == "node" and number in (4, 7)) or (kind == "function" and number in (1, 10)):
            called.setdefault(number, []).append(_text(value))
        elif kind == "tensor" and number == 13:
            words.append(_entry(value))
    if kind == "node":
        names.operators |= {(domain, name) for domain in called.get(7, [""]) for name in called.get(4, [""])}
    if kind == "function":
        names.functions |= {(domain, name) for domain in called.get(10, [""]) for name in called.get(1, [""])}
    if words:
        names.external.append(ExternalData(tuple(words)))


def _entry(data: memoryview) -> tuple[str, str]:
    """A word and its name; a field that comes twice counts as its last."""
    found = {number: _text(value) for number, value in _fields(data) if not isinstance(value, int)}
    return found.get(1, ""), found.get(2, "")


def _fields(data: memoryview) -> Iterator[tuple[int, Value]]:
    """The fields of a message, in order: https://protobuf.dev/programming-guides/encoding."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        number, wire = tag >> 3, tag & 7
        match wire:
            case 0:
                value, place = _varint(data, place)
                yield number, value
                continue
            case 1 | 5:
                size = 8 if wire == 1 else 4
            case 2:
                size, place = _varint(data, place)
            case _:
                raise OnnxBroken(f"a field has the wire type {wire}")
        if place + size > len(data):
            raise OnnxBroken("it ends within a field")
        if wire == 2:
            yield number, data[place : place + size]
        place += size


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    """A number, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            raise OnnxBroken("it ends within a number")
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise OnnxBroken("a number in it has too many bytes")


def _text(data: memoryview) -> str:
    return bytes(data).decode()
