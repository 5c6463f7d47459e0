"""Requests of named tensors as ports get them, made of plain values, and answers read back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any

import numpy as np
from attendant.core.context import CallContext
from attendant.rpc.openinference.ports import InferAnswer, InferCall, Port, Tensor


def tensor(name: str, value: Any) -> Tensor:
    """A value as a tensor: texts and bytes as BYTES, flags as BOOL, whole numbers as INT64, arrays as they are."""
    values = value if isinstance(value, list | np.ndarray) else [value]
    if isinstance(values, np.ndarray):
        return Tensor(name, {"float32": "FP32", "int32": "INT32"}[values.dtype.name], values)  # type: ignore[arg-type]
    if isinstance(values[0], str | bytes):
        found = np.array([each.encode() if isinstance(each, str) else each for each in values], object)
        return Tensor(name, "BYTES", found)
    if isinstance(values[0], bool):
        return Tensor(name, "BOOL", np.array(values))
    return Tensor(name, "INT64", np.array(values, np.int64))


def infer_call(
    model: str,
    inputs: Mapping[str, Any],
    outputs: Sequence[str] = (),
    sampling: Mapping[str, Any] | None = None,
    **parameters: Any,
) -> InferCall:
    """A request. ``sampling``: becomes the input ``sampling_parameters``."""
    if sampling is not None:
        inputs = {**inputs, "sampling_parameters": json.dumps(sampling)}
    return InferCall(model, {name: tensor(name, value) for name, value in inputs.items()}, tuple(outputs), parameters)


async def answers(port: Port, call: InferCall, *, alone: bool = False) -> list[InferAnswer]:
    """Every answer to a request."""
    async with aclosing(port.answer(call, CallContext.new(), alone=alone)) as found:
        return [each async for each in found]


async def answer(port: Port, call: InferCall) -> dict[str, Any]:
    """The tensors of the only answer, as lists of texts or numbers."""
    (only,) = await answers(port, call, alone=True)
    assert only.last
    return values(only)


def values(answered: InferAnswer) -> dict[str, Any]:
    """Tensors as lists of texts or numbers."""
    return {each.name: _values(each) for each in answered.outputs}


def _values(found: Tensor) -> list[Any]:
    return [each.decode() if isinstance(each, bytes) else each for each in found.values.tolist()]
