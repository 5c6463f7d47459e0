"""Chooses tokens from logits on the host, looking at no more of the vocabulary than the parameters need.

A greedy row costs one argmax. A sampled row draws one uniform number by inverse transform over the tokens that its
parameters leave; a sorted vocabulary is never built. A row's token depends on nothing but its own logits, parameters,
seed and position: never on the rest of the batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from attendant.core.errors import AttendantError
from attendant.core.events import TokenLogprob
from attendant.core.plan import Continuations, SampleOrder, StepOutput
from attendant.core.sampling import SamplingParams
from attendant.runtime.edits import apply_edits
from attendant.runtime.filters import entropy_size, likely_enough
from attendant.runtime.masks import allows, apply_mask, weighs_all

Row = npt.NDArray[np.float32]  # [vocab]
Index = npt.NDArray[np.intp]
Orders = Sequence[tuple[int, str, SampleOrder]]  # row, request id, order

_BLOCK = 64
_FIRST_NUCLEUS = 64
_MASK = 2**64 - 1
_NOTHING_LEFT = "the rules of this request leave no token that can come next"
_MOST_TOP_H = 100  # as in ``generate``


class Sampled(NamedTuple):
    """The choice for one row; of a beam its continuations in place of a token. ``failure`` says why there is none, in
    words or as the error that the request ends with.

    Made for every row of every step: a frozen dataclass takes twice as long.
    """

    request_id: str
    token_id: int
    logprob: TokenLogprob | None = None
    failure: str | AttendantError | None = None
    continuations: Continuations | None = None


def sample(logits: npt.NDArray[np.float32], orders: Orders) -> list[Sampled]:
    """Choose a token for each (row, request id, order).

    Args:
        logits: [rows, vocab] float32. Rows with penalties, biases or a mask are changed in place.
    """
    orders = told(orders)
    plain = [_is_plain(order) for _, _, order in orders]
    best = logits.argmax(axis=1) if any(plain) else None
    chosen: list[Sampled] = []
    for is_plain, (row, request_id, order) in zip(plain, orders, strict=True):
        values = logits[row]
        if order.mask is not None and order.mask.failure is not None:
            chosen.append(Sampled(request_id, 0, failure=order.mask.failure))
        elif best is not None and is_plain:
            token, failure = int(best[row]), None  # argmax finds a NaN wherever it is
            if not math.isfinite(values[token]):
                failure = _not_finite(values)
            elif order.mask is not None and not allows(order.mask, token):  # seldom: models follow what they began
                apply_mask(values, order.mask)
                token = int(values.argmax())
                failure = None if values[token] > -np.inf else _NOTHING_LEFT
            chosen.append(Sampled(request_id, token, failure=failure))
        else:
            chosen.append(_sample_row(values, request_id, order))
    return chosen


def told(orders: Orders) -> Orders:
    """The orders with the masks that were found meanwhile, or are found now."""
    if all(order.late is None for _, _, order in orders):
        return orders
    return [(row, request_id, order.told()) for row, request_id, order in orders]


def _is_plain(order: SampleOrder) -> bool:
    """Greedy, with nothing to report, and nothing to do with the logits but to rule some out."""
    p = order.params
    return p.temperature == 0 and p.logprobs is None and not (p.edits or order.num_candidates or weighs_all(order.mask))


def takes_whole_row(order: SampleOrder) -> bool:
    """Whether the choice needs all logits of a row, however sure the largest ones are."""
    p = order.params
    return bool(order.num_candidates or p.asked_logprobs or p.needs_all or weighs_all(order.mask))


def _sample_row(values: Row, request_id: str, order: SampleOrder) -> Sampled:
    params = order.params
    if not math.isfinite(values.max()):
        return Sampled(request_id, 0, failure=_not_finite(values))
    if order.num_candidates:
        return Sampled(request_id, -1, continuations=_continuations(values, order))
    report = None if params.logprobs is None else _Report(values, params.logprobs, _asked_now(order))
    token = _choose(values, order)
    if token is None:
        return Sampled(request_id, 0, failure=_NOTHING_LEFT)
    return Sampled(request_id, token, report.of(token) if report else None)


def _continuations(values: Row, order: SampleOrder) -> Continuations:
    """The most probable next tokens of a beam. Rules and penalties act on log-probabilities, as in ``generate``."""
    values -= _log_sum(values)
    asked = tuple(values[list(_asked_now(order))].tolist())
    if order.mask is not None and len(order.mask.forced) == 1:
        return Continuations(order.mask.forced, (0.0,), asked)
    _restrict(values, order)
    if order.params.renormalize:
        values -= _log_sum(values)
    best = top_tokens(values, min(order.num_candidates, len(values)))
    return Continuations(tuple(best.tolist()), tuple(values[best].tolist()), asked)


def _log_sum(values: Row) -> np.float32:
    """ln sum exp(value)."""
    peak = values.max()
    return np.float32(peak + np.float32(math.log(float(np.exp(values - peak).sum(dtype=np.float64)))))


def _asked_now(order: SampleOrder) -> tuple[int, ...]:
    return order.params.asked_logprobs if len(order.tokens) == order.num_prompt else ()


def _restrict(values: Row, order: SampleOrder) -> None:
    """Penalties, biases and rules, in place."""
    if order.params.edits:
        apply_edits(values, order)
    if order.mask is not None:
        apply_mask(values, order.mask)


def _choose(values: Row, order: SampleOrder) -> int | None:
    """The token; None where the rules leave none."""
    params, mask = order.params, order.mask
    _restrict(values, order)
    if params.temperature == 0 or (mask is not None and mask.forced):
        token = int(values.argmax())
        return token if values[token] > -np.inf else None
    return _draw(values, params, uniform_of(order)) if mask is None or values.max() > -np.inf else None


def _not_finite(values: Row) -> str:
    bad = int(np.count_nonzero(~np.isfinite(values)))
    return f"the model produced {bad} logits that are not finite numbers, of {len(values)}"


def uniform(seed: int, index: int) -> float:
    """A number in [0, 1) that depends on seed and index alone: the finaliser of SplitMix64 (Steele et al. 2014)."""
    z = (seed + (index + 1) * 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return ((z ^ (z >> 31)) >> 11) * 2.0**-53


def uniform_of(order: SampleOrder) -> float:
    """The number that draws the next token of an order's sequence."""
    return uniform(order.params.seed, len(order.tokens) - order.num_prompt)


def uniforms_of(orders: Sequence[SampleOrder]) -> npt.NDArray[np.float64]:
    """:func:`uniform_of` of many orders, [len(orders)]."""
    seeds = np.fromiter([order.params.seed for order in orders], np.uint64, len(orders))
    indices = np.fromiter([len(order.tokens) - order.num_prompt for order in orders], np.uint64, len(orders))
    z = seeds + (indices + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    numbers: npt.NDArray[np.float64] = ((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53
    return numbers


def step_output(sampled: Sequence[Sampled], run_ns: int) -> StepOutput:
    """What a step answers the scheduler."""
    if all(s[3] is None for s in sampled):
        tokens, failures = {s[0]: s[1] for s in sampled}, {}
    else:
        tokens = {s.request_id: s.token_id for s in sampled if s.failure is None}
        failures = {s.request_id: s.failure for s in sampled if s.failure is not None}
    logprobs = {s.request_id: s.logprob for s in sampled if s.logprob is not None}
    continuations = {s.request_id: s.continuations for s in sampled if s.continuations is not None}
    return StepOutput(tokens, logprobs, failures, run_ns, continuations)


def _draw(values: Row, params: SamplingParams, u: float) -> int:
    """One token by inverse transform sampling with ``u`` in [0, 1)."""
    peak, scale = values.max(), np.float32(1 / params.temperature)
    others = params.top_p < 1 or params.min_p or params.top_h or params.narrows
    if not others and not 0 < params.top_k < len(values):
        return _draw_from_all(np.exp((values - peak) * scale), u)
    candidates, weights = _most_probable(values, params, peak, scale)
    if params.min_p:
        likely = weights >= params.min_p
        likely[weights.argmax()] = True
        candidates, weights = candidates[likely], weights[likely]
    if params.narrows:
        likely = likely_enough(weights, params)
        candidates, weights = candidates[likely], weights[likely]
    return int(candidates[_invert(weights.cumsum(), u)])


def _most_probable(
    values: Row, params: SamplingParams, peak: np.float32, scale: np.float32
) -> tuple[Index, npt.NDArray[np.float64]]:
    """The tokens that top_h, top_k and top_p leave, or those that min_p may leave, and their weights relative to the
    most probable one's."""
    top_k = params.top_k if 0 < params.top_k < len(values) else 0
    if not top_k and not params.top_h:
        if params.top_p < 1:
            return _nucleus(values, np.exp((values - peak) * scale), params.top_p)
        least = peak + np.float32(math.log(params.min_p) * params.temperature) if params.min_p else np.float32(-np.inf)
        candidates = np.flatnonzero(values >= least)
        return candidates, np.exp((values[candidates] - peak) * scale, dtype=np.float64)
    candidates = top_tokens(values, min(_MOST_TOP_H, len(values)) if params.top_h else top_k)
    weights = np.exp((values[candidates] - peak) * scale, dtype=np.float64)
    if params.top_h:
        keep = min(entropy_size(weights, params.top_h), top_k or len(weights))
        candidates, weights = candidates[:keep], weights[:keep]
    if params.top_p < 1:
        keep = _nucleus_size(weights, params.top_p * weights.sum())
        candidates, weights = candidates[:keep], weights[:keep]
    return candidates, weights


def _draw_from_all(weights: Row, u: float) -> int:
    """Sums blocks first, so that only one block needs a running sum."""
    blocks = np.add.reduceat(weights, np.arange(0, len(weights), 256), dtype=np.float64).cumsum()
    block = _invert(blocks, u)
    before = blocks[block - 1] if block else 0.0
    inside = weights[block * 256 : block * 256 + 256].cumsum(dtype=np.float64)
    share = (u * blocks[-1] - before) / inside[-1]
    return block * 256 + _invert(inside, min(max(share, 0.0), 1.0))


def _invert(cumulative: npt.NDArray[np.float64], u: float) -> int:
    """First index whose running sum exceeds ``u`` of the total; never one without weight of its own."""
    total = cumulative[-1]
    index = int(cumulative.searchsorted(u * total, side="right"))
    return index if index < len(cumulative) else int(cumulative.searchsorted(total, side="left"))


def top_tokens(values: Row, k: int) -> Index:
    """The k largest of ``values`` [vocab], largest first, equal ones by index.

    The k-th largest block maximum is a bound that at least k values reach, and few more do.
    """
    num_blocks = len(values) // _BLOCK
    if 2 * k >= num_blocks:
        candidates = np.argpartition(values, len(values) - k)[len(values) - k :] if k < len(values) else None
        bound = -np.inf if candidates is None else values[candidates].min()
    else:
        peaks = values[: num_blocks * _BLOCK].reshape(num_blocks, _BLOCK).max(axis=1)
        bound = np.partition(peaks, num_blocks - k)[num_blocks - k]
    candidates = np.flatnonzero(values >= bound)
    return candidates[np.lexsort((candidates, -values[candidates]))[:k]]


def _nucleus(values: Row, weights: Row, top_p: float) -> tuple[Index, npt.NDArray[np.float64]]:
    """The smallest set of most probable tokens that holds ``top_p`` of the weight, looking at ever more of the top."""
    needed = top_p * float(weights.sum(dtype=np.float64))
    k = min(_FIRST_NUCLEUS, len(values))
    while True:
        candidates = top_tokens(values, k)
        top = weights[candidates].astype(np.float64)
        if k == len(values) or top.sum() >= needed:
            keep = _nucleus_size(top, needed)
            return candidates[:keep], top[:keep]
        k = min(8 * k, len(values))


def _nucleus_size(weights: npt.NDArray[np.float64], needed: float) -> int:
    """How many of ``weights``, largest first, it takes to reach ``needed``; at least one."""
    return min(int(weights.cumsum().searchsorted(needed, side="left")) + 1, len(weights))


class _Report:
    """Log-probabilities of the untouched logits, computed before anything changes them."""

    def __init__(self, values: Row, num_top: int, asked: tuple[int, ...]) -> None:
        peak = values.max()
        self._log_sum = float(peak) + math.log(float(np.exp(values - peak).sum(dtype=np.float64)))
        self._top = (
            tuple((int(t), float(values[t]) - self._log_sum) for t in top_tokens(values, num_top)) if num_top else ()
        )
        self._asked = tuple((values[list(asked)] - self._log_sum).tolist()) if asked else ()
        self._values = values.copy()

    def of(self, token: int) -> TokenLogprob:
        return TokenLogprob(token, float(self._values[token]) - self._log_sum, self._top, self._asked)
