"""Views as JSON and back: what ``--json`` prints can be drawn later, without a server."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any

import numpy as np

from attendant.client.explain.views import (
    Attention,
    Attribution,
    Grid,
    Layer,
    Part,
    Similarity,
    Stage,
    Steps,
    Token,
    View,
)

DIGITS = 5  # behind the point of a weight: what is smaller is not seen
_KINDS: Mapping[str, type[View]] = {
    "attention": Attention,
    "attribution": Attribution,
    "similarity": Similarity,
    "steps": Steps,
}


class NotRecorded(ValueError):
    """A text is not what ``--json`` prints; ``str(error)`` says what is wrong with it."""


def to_json(view: View) -> str:
    """A view as one line of JSON."""
    (name,) = (name for name, kind in _KINDS.items() if isinstance(view, kind))
    return json.dumps({"view": name, **_plain(view)}, ensure_ascii=False, separators=(",", ":"))


def from_json(line: str) -> View:
    """The view that :func:`to_json` wrote.

    Raises:
        NotRecorded: it is none.
    """
    try:
        values = json.loads(line)
        return _view(values.pop("view"), values)
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        allowed = ", ".join(_KINDS)
        raise NotRecorded(f"this is no line of `attendant explain --json` ({allowed}): {error!r}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, Token):  # there may be many, and most have a text and nothing else
        return {key: part for key, part in asdict(value).items() if part or key == "text"}
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, np.ndarray):
        return np.round(value.astype(np.float64), DIGITS).tolist()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value


def _view(name: str, values: dict[str, Any]) -> View:
    match name:
        case "attention":
            return _attention(values)
        case "attribution":
            values["parts"] = tuple(
                Part(**{**part, "token_weights": tuple(part["token_weights"])}) for part in values["parts"]
            )
            return Attribution(**{**values, "answer_tokens": tuple(values["answer_tokens"])})
        case "similarity":
            return Similarity(
                values["model"],
                tuple(values["words"]),
                tuple(values["contexts"]),
                np.array(values["cosines"], np.float32),
            )
        case "steps":
            return Steps(**{**values, "stages": tuple(Stage(**stage) for stage in values["stages"])})
    raise KeyError(name)


def _attention(values: dict[str, Any]) -> Attention:
    rows, keys = (tuple(Token(**token) for token in values[name]) for name in ("rows", "keys"))
    layers = tuple(_layer(layer, len(rows), len(keys)) for layer in values["layers"])
    grid = None if values["grid"] is None else Grid(**values["grid"])
    image = base64.b64decode(values["image"], validate=True)
    made = {"rows": rows, "keys": keys, "layers": layers, "grid": grid, "image": image}
    asked = {name: tuple(values[name]) for name in ("asked_layers", "asked_heads")}
    return Attention(**{**values, **made, **asked})


def _layer(values: dict[str, Any], num_rows: int, num_keys: int) -> Layer:
    heads = tuple(values["heads"])
    weights = np.array(values["weights"], np.float32)
    if weights.shape != (max(len(heads), 1), num_rows, num_keys):
        raise ValueError(f"weights of shape {list(weights.shape)} do not fit {num_rows} rows and {num_keys} keys")
    return Layer(values["number"], heads, weights)
