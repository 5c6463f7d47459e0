"""Masks on candidates and on whole rows: the same tokens are chosen, and never one that is ruled out."""

from __future__ import annotations

import numpy as np
import pytest
from attendant.core.plan import SampleOrder
from attendant.core.sampling import SamplingParams
from attendant.core.token_rules import TokenMask
from attendant.runtime.masks import apply_mask, rules_out
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.test_candidates import choose_both, is_near_boundary

VOCAB = 400
ID = st.integers(0, VOCAB - 1)
ALLOWED = st.builds(
    lambda seed, share, length: np.random.default_rng(seed).random(length) < share,
    st.integers(0, 99),
    st.sampled_from([0.05, 0.5, 0.95]),
    st.sampled_from([300, VOCAB]),
)
MASKS = st.builds(
    TokenMask,
    forbidden=st.lists(ID, max_size=5).map(tuple),
    spans=st.lists(st.tuples(ID, ID), max_size=2).map(tuple),
    allowed=st.none() | ALLOWED.map(lambda flags: np.packbits(flags, bitorder="little")),
    forced=st.just(()) | st.lists(ID, min_size=1, max_size=3).map(tuple),
    preferred=st.none() | ID.map(lambda first: first + 1),
    failure=st.none(),
)
PARAMS = st.builds(
    SamplingParams,
    max_tokens=st.just(8),
    temperature=st.sampled_from([0.0, 0.0, 0.7, 1.5]),
    top_k=st.sampled_from([0, 0, 5, 64]),
    top_p=st.sampled_from([0.5, 0.9, 1.0]),
    min_p=st.sampled_from([0.0, 0.05]),
    repetition_penalty=st.sampled_from([1.0, 1.3, 0.8]),
    seed=st.integers(0, 2**64 - 1),
    logprobs=st.sampled_from([None, None, 2]),
)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(PARAMS, st.none() | MASKS), min_size=1, max_size=5), st.integers(0, 1000))
def test_candidates_obey_a_mask_as_whole_rows_do(
    kinds: list[tuple[SamplingParams, TokenMask | None]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    logits = (rng.standard_normal((len(kinds), VOCAB)) * 3).astype(np.float32)
    orders = [SampleOrder(params, rng.integers(0, VOCAB, 9), 4, mask) for params, mask in kinds]
    found, whole, _ = choose_both(logits, orders, seed)
    for row, (order, here, there) in enumerate(zip(orders, found, whole, strict=True)):
        if here.token_id != there.token_id:
            p = order.params
            assert p.temperature > 0
            filtered = p.top_p < 1 or p.min_p or p.top_k
            assert not filtered
            assert is_near_boundary(logits[row], order)
        assert here.failure == there.failure
        if order.mask is not None and here.failure is None:
            row_left = logits[row].copy()
            apply_mask(row_left, order.mask)
            assert row_left[here.token_id] > -np.inf or order.mask.preferred is not None


@given(MASKS, st.lists(ID, min_size=1, max_size=70, unique=True))
def test_candidates_are_ruled_out_as_in_a_whole_row(mask: TokenMask, ids: list[int]) -> None:
    mask = mask._replace(forced=(), preferred=None)
    row = np.zeros(VOCAB, np.float32)
    apply_mask(row, mask)
    assert rules_out(mask, np.array(ids)).tolist() == (row[ids] == -np.inf).tolist()


@pytest.mark.parametrize(("others", "is_left"), [(2.0, True), (0.5, False)])
def test_a_preferred_group_counts_together(others: float, is_left: bool) -> None:
    row = np.array([others, 0.0, 0.0, 0.0, 0.0], np.float32)  # four together: ln 4 = 1.39
    apply_mask(row, TokenMask(preferred=1))
    assert (row[0] > -np.inf) == is_left
    assert (row[1:] == 0).all()
