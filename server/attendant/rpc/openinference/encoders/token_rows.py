"""Ready tensors of tokens: rows are taken out of the padding, and are then what a caller of attendant.v1 gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from attendant.core.errors import InvalidRequest
from attendant.frontend.encoding.calls import TextItem
from attendant.rpc.openinference.ports import InferCall

Values = npt.NDArray[Any]


def token_items(call: InferCall) -> tuple[TextItem, ...]:
    """A row of each of ``input_ids`` [n, s], of the tokens that ``attention_mask`` says are there.

    Raises:
        InvalidRequest: tensors of different shapes, a mask with holes, or a row without tokens.
    """
    ids: Values = call.inputs["input_ids"].values.astype(np.int64, copy=False)
    types = _beside(call, "token_type_ids")
    parts = spans(call, ids.shape, "input_ids")
    if types is None:
        return tuple([TextItem("", "", ids[index, part]) for index, part in enumerate(parts)])
    types = types.astype(np.int64, copy=False)
    return tuple([TextItem("", "", ids[index, part], types[index, part]) for index, part in enumerate(parts)])


def spans(call: InferCall, shape: tuple[int, ...], of: str) -> list[slice]:
    """Where ``attention_mask`` says that there is something, of each row of ``of`` [n, s]; everywhere without a mask.

    Raises:
        InvalidRequest: a mask of another shape, with other values than 0 and 1, or with holes.
    """
    mask = _beside(call, "attention_mask", of)
    if mask is None:
        return [slice(0, shape[1])] * shape[0]
    field = "inputs[attention_mask]"
    there = mask == 1
    every, found, size = there.tobytes(), list[slice](), shape[1]  # a byte for each, which is searched fastest
    if b"\0" not in every:
        return [slice(0, size)] * shape[0]
    if np.count_nonzero(there) != np.count_nonzero(mask):
        raise InvalidRequest(field, f"has {mask.min()} to {mask.max()}; allowed: 0 and 1")
    for index in range(shape[0]):
        row = every[index * size : (index + 1) * size]
        ones = row.strip(b"\0")
        if b"\0" in ones:
            raise InvalidRequest(
                f"{field}[{index}]", "has holes: zeros between ones; allowed: ones side by side, with padding around"
            )
        begin = size - len(row.lstrip(b"\0")) if ones else 0
        found.append(slice(begin, begin + len(ones)))
    return found


def _beside(call: InferCall, name: str, of: str = "input_ids") -> Values | None:
    if name not in call.inputs:
        return None
    values, wanted = call.inputs[name].values, call.inputs[of].values.shape
    if values.shape != wanted:
        raise InvalidRequest(f"inputs[{name}].shape", f"is {list(values.shape)}; allowed: {list(wanted)}, that of {of}")
    return values
