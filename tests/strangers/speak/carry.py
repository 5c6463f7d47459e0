"""Values as JSON and back, with bytes and arrays. Both sides import it: the stranger finds it beside its script."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np


def to_json(value: Any) -> Any:
    """The value with what JSON lacks as objects: bytes, and arrays of any type, those of objects element by element."""
    match value:
        case np.ndarray() if value.dtype == np.object_:
            return {"array": "object", "shape": value.shape, "values": [to_json(item) for item in value.ravel()]}
        case np.ndarray():
            return {"array": value.dtype.str, "shape": value.shape, "bytes": base64.b64encode(value.tobytes()).decode()}
        case bytes():
            return {"bytes": base64.b64encode(value).decode()}
        case dict():
            return {name: to_json(item) for name, item in value.items()}
        case list() | tuple():
            return [to_json(item) for item in value]
        case np.generic():
            return value.item()
    return value


def from_json(value: Any) -> Any:
    """The inverse of :func:`to_json`, but that tuples have become lists."""
    match value:
        case {"array": "object", "shape": shape, "values": values}:
            made = np.empty(len(values), object)
            made[:] = [from_json(item) for item in values]
            return made.reshape(shape)
        case {"array": kind, "shape": shape, "bytes": text}:
            return np.frombuffer(base64.b64decode(text), kind).reshape(shape)
        case {"bytes": str(text)} if len(value) == 1:
            return base64.b64decode(text)
        case dict():
            return {name: from_json(item) for name, item in value.items()}
        case list():
            return [from_json(item) for item in value]
    return value
