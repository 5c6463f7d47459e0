"""Numbers that several tasks share: probabilities of logits, and the best of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from attendant.core.errors import InvalidRequest

Floats = npt.NDArray[np.float32]


def softmax(logits: Floats) -> Floats:
    """The softmax over the last axis, in float32."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True), dtype=np.float32)
    total: Floats = shifted / shifted.sum(axis=-1, keepdims=True)
    return total


def sigmoid(logits: Floats) -> Floats:
    """The sigmoid of each number, in float32, without overflow."""
    small = np.exp(-np.abs(logits), dtype=np.float32)
    values: Floats = np.where(logits >= 0, 1, small) / (1 + small)
    return values.astype(np.float32, copy=False)


def best(scores: npt.NDArray[np.floating], count: int | None) -> npt.NDArray[np.int64]:
    """Indices of the ``count`` largest of scores [n], largest first; equals by index. None: all."""
    n = len(scores)
    if count is None or count * 8 >= n:
        return np.argsort(-scores, kind="stable")[:count].astype(np.int64)
    least = np.partition(scores, n - count)[n - count]
    candidates = np.flatnonzero(scores >= least)
    order = np.argsort(-scores[candidates], kind="stable")[:count]
    return candidates[order].astype(np.int64)


def check_top_k(top_k: int | None, most: int | None = None) -> None:
    """Raises InvalidRequest for 0: no result at all is what nobody means. ``most``: the largest, where there is one."""
    if top_k is None or (top_k >= 1 and (most is None or top_k <= most)):
        return
    allowed = "at least 1" if most is None else f"1 to {most}"
    raise InvalidRequest("top_k", f"is {top_k}; allowed: {allowed}")
