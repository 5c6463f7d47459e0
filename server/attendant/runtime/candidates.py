"""Chooses tokens from what a device computed of its logits, as the sampler would from whole rows of them.

Only the largest logits of a row, two sums and one drawn token come to the host. A row that they do not settle beyond
doubt is fetched whole and left to the sampler.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from attendant.bundle.graph_io import CANDIDATES, ports_of
from attendant.core.events import TokenLogprob
from attendant.core.plan import SampleOrder
from attendant.core.sampling import SamplingParams
from attendant.runtime.candidate_rows import CandidateRows, Flags, Floats, Ids, edit
from attendant.runtime.packed import Fields, fields_of
from attendant.runtime.sampler import Orders, Sampled, sample, takes_whole_row, told, uniforms_of

Doubles = npt.NDArray[np.float64]
Fetch = Callable[[list[int]], Floats]

_UNSETTLED = Sampled("", -1)
_BELOW_ONE = 1 - 2.0**-24  # the largest float32 below 1
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class Candidates:
    """What ``attendant_export.graph.candidates.add_candidates`` adds to a graph, for R rows, and K of V tokens.

    Attributes:
        vocab_size: V.
        top_logits: [R, K] float32, the K largest logits, largest first; -3e38 stands for -inf.
        top_ids: [R, K] int64, their tokens. Which of equal logits come first, or come at all, is left open.
        log_sum: [R] float32, ln sum exp(logit); not finite where the row's largest logit is not, or one is NaN.
        scaled_log_sum: [R] float32, ln sum exp(logit * inverse temperature).
        drawn: [R] int64, a token drawn from the whole vocabulary at that temperature.
        drawn_logit: [R] float32, its logit.
    """

    vocab_size: int
    top_logits: Floats
    top_ids: Ids
    log_sum: Floats
    scaled_log_sum: Floats
    drawn: Ids
    drawn_logit: Floats


def candidate_fields(num_rows: int, num_top: int) -> Fields:
    """The arrays of :class:`Candidates`, R = ``num_rows`` and K = ``num_top``, as outputs of a run."""
    return fields_of(ports_of(CANDIDATES), {"num_logits": num_rows, "num_candidates": num_top})


def sampling_inputs(orders: Orders, inverse_temperature: Floats, uniform: Floats) -> None:
    """Fills both inputs of a step, [R] float32: 1 / temperature and the number in [0, 1) that draws the token.

    Greedy rows, and rows that no order names, get 1 and 0.
    """
    inverse_temperature.fill(1)
    uniform.fill(0)
    sampled = [(row, order) for row, _, order in orders if order.params.temperature]
    if sampled:
        rows = [row for row, _ in sampled]
        inverse_temperature[rows] = [min(1 / order.params.temperature, _LARGEST) for _, order in sampled]
        uniform[rows] = np.minimum(uniforms_of([order for _, order in sampled]), _BELOW_ONE)


def choose(candidates: Candidates, orders: Orders, fetch: Fetch) -> list[Sampled]:
    """Choose a token for each (row, request id, order): the one that ``sample`` chooses from whole rows.

    Two things hold up to rounding only, as the device sums in float32: a token drawn without any filter, where its
    number falls within some 1e-6 of a boundary between two tokens; and log-probabilities, within some 1e-6.

    Args:
        fetch: called at most once, with the rows that the candidates do not settle: these rows [rows, V] float32, to
            be changed in place.
    """
    orders = told(orders)
    best, drawn = candidates.top_ids[:, 0].tolist(), candidates.drawn.tolist()
    is_best, is_drawn = (flags.tolist() for flags in _usable(candidates))
    chosen: list[Sampled] = []
    unsettled: list[int] = []
    for row, request_id, order in orders:
        p = order.params
        if order.mask is not None and order.mask.failure is not None:
            chosen.append(Sampled(request_id, 0, failure=order.mask.failure))
            continue
        if takes_whole_row(order):
            chosen.append(_UNSETTLED)
            continue
        if not p.edits and p.logprobs is None and order.mask is None:
            if p.temperature == 0:
                if is_best[row]:
                    chosen.append(Sampled(request_id, best[row]))
                    continue
            elif is_drawn[row] and not p.filters:
                chosen.append(Sampled(request_id, drawn[row]))
                continue
        unsettled.append(len(chosen))
        chosen.append(_UNSETTLED)
    if unsettled:
        settled = _settle(candidates, [orders[i] for i in unsettled], is_drawn)
        for position, sampled in zip(unsettled, settled, strict=True):
            chosen[position] = sampled
    _fetch_unsettled(chosen, orders, fetch)
    return chosen


def _fetch_unsettled(chosen: list[Sampled], orders: Orders, fetch: Fetch) -> None:
    positions = [i for i, sampled in enumerate(chosen) if sampled is _UNSETTLED]
    if positions:
        logits = fetch([orders[i][0] for i in positions])  # [rows, V] float32
        whole = sample(logits, [(row, *orders[i][1:]) for row, i in enumerate(positions)])
        for position, sampled in zip(positions, whole, strict=True):
            chosen[position] = sampled


def _usable(candidates: Candidates) -> tuple[Flags, Flags]:
    """Rows [R] whose first candidate is the greedy token, without an equal one, and rows whose drawn token counts."""
    finite = np.isfinite(candidates.log_sum)
    top = candidates.top_logits
    alone = top[:, 0] > top[:, 1] if top.shape[1] > 1 else np.ones(len(top), np.bool_)
    return finite & alone, finite & np.isfinite(candidates.scaled_log_sum)


def _filters(p: SamplingParams, vocab_size: int) -> bool:
    return 0 < p.top_k < vocab_size or p.top_p < 1 or p.min_p > 0


def _settle(candidates: Candidates, orders: Orders, is_drawn: Sequence[bool]) -> list[Sampled]:
    """The choice for each order, or ``_UNSETTLED``."""
    rows = np.array([row for row, _, _ in orders])
    sample_orders = [order for _, _, order in orders]
    group = CandidateRows.of(
        candidates.top_logits[rows], candidates.top_ids[rows], candidates.scaled_log_sum[rows], candidates.vocab_size
    )
    with np.errstate(all="ignore"):  # what overflows is not finite, and not settled
        drawn, sure = _draw(edit(group, sample_orders), group, _Settings.of(sample_orders, candidates.vocab_size))
    tokens, is_sure = drawn.tolist(), (sure & np.isfinite(candidates.log_sum[rows])).tolist()
    settled = []
    for i, (row, request_id, order) in enumerate(orders):
        p, report = order.params, None
        if p.temperature and not _filters(p, candidates.vocab_size):
            tokens[i] = int(candidates.drawn[row])
            is_sure[i] = is_drawn[row] and order.mask is None and not p.edits
        if p.logprobs is not None and is_sure[i]:
            report = _report(candidates, group, i, row, tokens[i], p.logprobs)
            is_sure[i] = report is not None
        settled.append(Sampled(request_id, tokens[i], report) if is_sure[i] else _UNSETTLED)
    return settled


@dataclass(frozen=True, slots=True)
class _Settings:
    """Filters of G rows, as columns [G, 1]. Greedy rows have top_k 1."""

    scale: Floats
    top_k: Doubles  # 0 for none
    top_p: Doubles
    min_p: Doubles
    threshold: Floats  # below the peak; for min_p without another filter
    uniform: Doubles

    @classmethod
    def of(cls, orders: Sequence[SampleOrder], vocab_size: int) -> _Settings:
        rows = []
        for order in orders:
            p = order.params
            if p.temperature == 0:
                rows.append((1.0, 1, 1.0, 0.0, 0.0))
            else:
                top_k = p.top_k if p.top_k < vocab_size else 0
                threshold = math.log(p.min_p) * p.temperature if p.min_p else 0.0
                rows.append((1 / p.temperature, top_k, p.top_p, p.min_p, threshold))
        columns: list[Any] = [column[:, None] for column in np.array(rows, np.float64).T]
        scale, top_k, top_p, min_p, threshold = columns
        uniform = uniforms_of(orders)[:, None]
        return cls(scale.astype(np.float32), top_k, top_p, min_p, threshold.astype(np.float32), uniform)


def _draw(group: CandidateRows, original: CandidateRows, settings: _Settings) -> tuple[Ids, Flags]:
    """The token of each row, [G] int64, and whether it is the sampler's for certain.

    What is not known exactly, the weight outside, has limits; a token that both limits lead to is certain.
    """
    s = settings
    limited, nucleus = s.top_k > 0, (s.top_k == 0) & (s.top_p < 1)  # [G, 1]
    by_id = ~limited & ~nucleus
    num_candidates = group.values.shape[1]
    positions = np.arange(num_candidates)
    peak = group.values[:, :1]
    exponents = (group.values - peak) * s.scale
    weights = np.exp(exponents).astype(np.float64)  # rounded as the sampler's
    if not nucleus.all():
        weights = np.where(nucleus, weights, np.exp(exponents, dtype=np.float64))
    limit = np.where(limited, s.top_k, num_candidates)
    running = np.where(positions < limit, weights, 0).cumsum(axis=1)
    low, high = running[:, -1:] * (1 - 1e-12), running[:, -1:] * (1 + 1e-12)
    if not group.complete:
        least, most = _weight_outside(group, original, s.scale, peak)
        low, high = low + np.where(nucleus, least, 0), high + np.where(nucleus, most, 0)
    reached = [(running < s.top_p * mass).sum(axis=1, keepdims=True) for mass in (low, high)]
    keeps = [np.where(s.top_p < 1, np.minimum(count + 1, limit), limit) for count in reached]
    sure = np.isfinite(high) & np.isfinite(peak)
    sure &= ~nucleus | (reached[1] < num_candidates) | group.complete
    ranked = group.ranks(np.where(limited, limit, keeps[1])[:, 0].astype(np.intp))[:, None]
    floor = peak + s.threshold
    sure &= np.where(by_id, (group.bound[:, None] < floor) | group.complete, ranked)
    allowed = (weights >= s.min_p) & (~by_id | (group.values >= floor))
    ids = group.ids
    if by_id.any():
        order = np.where(by_id, ids.argsort(axis=1), positions)
        ids, weights, allowed = (np.take_along_axis(a, order, axis=1) for a in (ids, weights, allowed))
    first = _invert(np.where(allowed & (positions < keeps[0]), weights, 0), s.uniform)
    if (keeps[0] != keeps[1]).any():
        sure &= first == _invert(np.where(allowed & (positions < keeps[1]), weights, 0), s.uniform)
    return np.take_along_axis(ids, first, axis=1)[:, 0], sure[:, 0]


def _weight_outside(
    group: CandidateRows, original: CandidateRows, scale: Floats, peak: Floats
) -> tuple[Doubles, Doubles]:
    """The least and the most weight, relative to ``peak``, that tokens outside the candidates have: both [G, 1]."""
    scaled_log_sum = group.scaled_log_sum[:, None].astype(np.float64)
    step = scale.astype(np.float64)
    total = np.exp(scaled_log_sum - peak * step)
    inside = np.exp((original.values - peak.astype(np.float64)) * step).sum(axis=1, keepdims=True)
    doubt = 3e-5 + np.abs(scaled_log_sum) * 2.0**-22  # float32 sums, and the rounding of their logarithm
    least, most = np.maximum(total * (1 - doubt) - inside, 0), np.maximum(total * (1 + doubt) - inside, 0)
    return np.where(group.lowered[:, None], 0, least), np.where(group.raised[:, None], np.inf, most)


def _invert(weights: Doubles, uniform: Doubles) -> npt.NDArray[np.intp]:
    """First index whose running sum exceeds ``uniform`` of the total, in each row of ``weights`` [G, K]: [G, 1].

    As the sampler does it for one row: a weight of zero adds nothing, and so is never found.
    """
    running = weights.cumsum(axis=1)
    total = running[:, -1:]
    exceeding = (running <= uniform * total).sum(axis=1, keepdims=True)
    index: npt.NDArray[np.intp] = np.minimum(exceeding, (running < total).sum(axis=1, keepdims=True))
    last: npt.NDArray[np.intp] = np.minimum(index, weights.shape[1] - 1)
    return last


def _report(
    candidates: Candidates, group: CandidateRows, index: int, row: int, token: int, num_top: int
) -> TokenLogprob | None:
    """Log-probabilities of the untouched logits; None where the candidates do not hold them all."""
    values, ids = group.values[index], group.ids[index]
    if num_top > len(values) or (num_top and not group.complete and values[num_top - 1] == values[-1]):
        return None
    log_sum = float(candidates.log_sum[row])
    logit = candidates.drawn_logit[row] if token == candidates.drawn[row] else values[(ids == token).argmax()]
    top = zip(ids[:num_top].tolist(), values[:num_top].tolist(), strict=True)
    return TokenLogprob(token, float(logit) - log_sum, tuple((i, value - log_sum) for i, value in top))
