"""Rows of candidates, edited on the host as the sampler edits whole rows of logits, and what stays certain of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from attendant.core.plan import SampleOrder
from attendant.core.token_rules import TokenMask
from attendant.runtime.edits import Row, apply_edits
from attendant.runtime.masks import rules_out

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_NO_MASK = TokenMask()
FLOOR = -3e38
"""What a device makes of -inf."""


@dataclass(frozen=True, slots=True)
class CandidateRows:
    """The candidates of G rows, largest first, equal ones by id.

    Every token of row i that is not among ``ids[i]`` has a logit of at most ``bound[i]``: a candidate above it has its
    rank for certain. The tokens outside may have lost weight since the device summed it where ``lowered``, and may have
    gained some where ``raised``.
    """

    values: Floats  # [G, K]
    ids: Ids  # [G, K]
    scaled_log_sum: Floats  # [G]
    bound: Floats  # [G]
    lowered: Flags  # [G]
    raised: Flags  # [G]
    complete: bool

    @classmethod
    def of(cls, values: Floats, ids: Ids, scaled_log_sum: Floats, vocab_size: int) -> CandidateRows:
        """Takes ``values`` and ``ids`` over and puts them in order."""
        values[values <= FLOOR] = -np.inf
        _put_in_order(values, ids)
        complete = values.shape[1] == vocab_size
        bound = np.full(len(values), -np.inf, np.float32) if complete else values[:, -1]
        none = np.zeros(len(values), np.bool_)
        return cls(values, ids, scaled_log_sum, bound, none, none, complete)

    def ranks(self, counts: npt.NDArray[np.intp]) -> Flags:
        """Whether the first counts[i] >= 1 candidates of row i are certain to be its largest, in order: [G]."""
        num_candidates = self.values.shape[1]
        last = self.values[np.arange(len(self.values)), np.minimum(counts, num_candidates) - 1]
        certain: Flags = (counts <= num_candidates) & ((last > self.bound) | self.complete)
        return certain


def _put_in_order(values: Floats, ids: Ids) -> None:
    """Sorts both [G, K] in place by falling value, equal values by id; most rows come sorted."""
    before, after = values[:, :-1], values[:, 1:]
    unsorted = ((before < after) | ((before == after) & (ids[:, :-1] > ids[:, 1:]))).any(axis=1)
    if unsorted.any():
        order = np.lexsort((ids[unsorted], -values[unsorted]), axis=-1)
        values[unsorted] = np.take_along_axis(values[unsorted], order, axis=1)
        ids[unsorted] = np.take_along_axis(ids[unsorted], order, axis=1)


def edit(group: CandidateRows, orders: Sequence[SampleOrder]) -> CandidateRows:
    """The group with biases and penalties applied, and at -inf what its masks rule out."""
    edits = [i for i, order in enumerate(orders) if order.mask is not None or order.params.edits]
    if not edits:
        return group
    values, ids, bound = group.values.copy(), group.ids.copy(), group.bound.copy()
    lowered, raised = group.lowered.copy(), group.raised.copy()
    for i in edits:
        bound[i], lowered[i], raised[i] = _edit_row(values[i], ids[i], bound[i], orders[i])
    _put_in_order(values, ids)
    return replace(group, values=values, ids=ids, bound=bound, lowered=lowered, raised=raised)


def _edit_row(values: Row, ids: Ids, bound: np.float32, order: SampleOrder) -> tuple[np.float32, bool, bool]:
    """Edits ``values`` [K] of the tokens ``ids`` in place; returns the new bound, and whether tokens outside were
    lowered or raised.

    The edits of a token make more of a larger logit. So those of a token outside, made to the bound, show how high it
    can be.
    """
    p, mask = order.params, order.mask or _NO_MASK
    biased = np.fromiter(p.logit_bias, np.int64, len(p.logit_bias))
    touched = np.concatenate([biased, order.tokens, np.array(mask.forbidden, np.int64)])
    raises = p.repetition_penalty < 1 or p.presence_penalty < 0 or p.frequency_penalty < 0
    raises = raises or any(bias > 0 for bias in p.logit_bias.values())
    known = np.concatenate([ids, np.setdiff1d(touched, ids)]) if raises else ids
    row = np.full(len(known), bound, np.float32)
    row[: len(ids)] = values
    places = _places(known, touched)
    bias_places, seen, _ = np.split(places, [len(biased), len(biased) + len(order.tokens)])
    if p.logit_bias:
        biases = zip(bias_places.tolist(), p.logit_bias.values(), strict=True)
        p = replace(p, logit_bias={place: bias for place, bias in biases if place >= 0})
    is_known = seen >= 0
    num_prompt = int(np.count_nonzero(is_known[: order.num_prompt]))
    apply_edits(row, SampleOrder(p, seen[is_known], num_prompt))
    row[rules_out(mask, known)] = -np.inf
    values[:] = row[: len(ids)]
    outside = row[len(ids) :]
    raised = len(outside) > 0
    lowered = raised or bool((places < 0).any() or mask.spans or mask.allowed is not None)
    return outside.max(initial=bound), lowered, raised


def _places(known: Ids, tokens: Ids) -> Ids:
    """Where each of ``tokens`` is in ``known``; -1 for nowhere."""
    order = known.argsort()
    ordered = known[order]
    at = np.minimum(ordered.searchsorted(tokens), len(known) - 1)
    return np.where(ordered[at] == tokens, order[at], -1)
