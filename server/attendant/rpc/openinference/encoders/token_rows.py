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
    return tuple(
        TextItem(
            token_ids=row[part],
            type_ids=None if types is None else types[index, part].astype(np.int64, copy=False),
        )
        for index, (row, part) in enumerate(zip(ids, parts, strict=True))
    )


def spans(call: InferCall, shape: tuple[int, ...], of: str) -> list[slice]:
    """Where ``attention_mask`` says that there is something, of each row of ``of`` [n, s]; everywhere without a mask.

    Raises:
        InvalidRequest: a mask of another shape, with other values than 0 and 1, or with holes.
    """
    mask = _beside(call, "attention_mask", of)
    if mask is None:
        return [slice(0, shape[1])] * shape[0]
    field = "inputs[attention_mask]"
    if mask.dtype != np.bool_ and mask.size and not 0 <= mask.min() <= mask.max() <= 1:
        raise InvalidRequest(field, f"has {mask.min()} to {mask.max()}; allowed: 0 and 1")
    there = mask.astype(np.bool_, copy=False)
    if not there.size:
        return [slice(0, 0)] * shape[0]
    counts = there.sum(axis=1)
    first, last = there.argmax(axis=1), shape[1] - there[:, ::-1].argmax(axis=1)
    if len(holes := np.flatnonzero((counts > 0) & (last - first != counts))):
        raise InvalidRequest(
            f"{field}[{holes[0]}]", "has holes: zeros between ones; allowed: ones side by side, with padding around"
        )
    return [slice(int(begin), int(begin + count)) for begin, count in zip(first, counts, strict=True)]


def _beside(call: InferCall, name: str, of: str = "input_ids") -> Values | None:
    if name not in call.inputs:
        return None
    values, wanted = call.inputs[name].values, call.inputs[of].values.shape
    if values.shape != wanted:
        raise InvalidRequest(f"inputs[{name}].shape", f"is {list(values.shape)}; allowed: {list(wanted)}, that of {of}")
    return values
