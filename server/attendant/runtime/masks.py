"""Applies the masks of token rules: to whole rows of logits, and to the few candidates that a device hands over."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from attendant.core.token_rules import TokenMask

Flags = npt.NDArray[np.bool_]
Row = npt.NDArray[np.float32]  # [vocab]

_BYTES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")  # [256, 8]
_LIMITS = np.where(_BYTES == 1, np.float32(np.inf), np.float32(-np.inf))  # [256, 8] float32
"""The most that a logit may be, for each of the eight tokens of a byte."""


def apply_mask(values: Row, mask: TokenMask) -> None:
    """Puts all tokens of ``values`` [vocab] that may not be next at -inf, in place."""
    if mask.forced:  # what has to come may come, though it were forbidden
        kept = values[list(mask.forced)]
        values.fill(-np.inf)
        values[list(mask.forced)] = kept
        return
    if mask.forbidden:
        values[list(mask.forbidden)] = -np.inf
    for first, end in mask.spans:
        values[first:end] = -np.inf
    if mask.allowed is not None:
        length = min(8 * len(mask.allowed), len(values))
        limits = np.take(_LIMITS, mask.allowed[: (length + 7) // 8], axis=0).reshape(-1)[:length]
        np.fmin(values[:length], limits, out=values[:length])
        values[length:] = -np.inf
    if mask.preferred is not None:
        _prefer(values[mask.preferred :], values[: mask.preferred])


def allows(mask: TokenMask, token: int) -> bool:
    """Whether ``token`` may be next, by a mask that does not weigh all."""
    if token in mask.forbidden or any(first <= token < end for first, end in mask.spans):
        return False
    if mask.allowed is None:
        return True
    return token < 8 * len(mask.allowed) and bool(mask.allowed[token >> 3] >> (token & 7) & 1)


def weighs_all(mask: TokenMask | None) -> bool:
    """Whether the mask takes the logits of all tokens, not those of some alone."""
    return mask is not None and bool(mask.forced or mask.preferred is not None)


def rules_out(mask: TokenMask, ids: npt.NDArray[np.int64]) -> Flags:
    """Which of ``ids`` [n] may not be next, by a mask that does not weigh all: [n]."""
    out: Flags = np.isin(ids, mask.forbidden) if mask.forbidden else np.zeros(len(ids), np.bool_)
    for first, end in mask.spans:
        out |= (ids >= first) & (ids < end)
    if mask.allowed is not None:
        bits = mask.allowed[np.minimum(ids >> 3, len(mask.allowed) - 1)] >> (ids & 7) & 1
        out |= (ids >= 8 * len(mask.allowed)) | (bits == 0)
    return out


def _prefer(ones: Row, others: Row) -> None:
    """Rules ``others`` out if ``ones`` together are more probable than any of them."""
    peak = ones.max(initial=-np.inf)
    if peak > -np.inf:
        total = peak + np.log(np.exp(ones - peak).sum(dtype=np.float64))
        if total > others.max():
            others[:] = -np.inf
