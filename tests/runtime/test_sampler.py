"""The sampler against a plain reference that sorts everything."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from attendant.core.plan import SampleOrder
from attendant.core.sampling import SamplingParams
from attendant.core.token_rules import TokenMask
from attendant.runtime.sampler import sample, top_tokens, uniform
from hypothesis import given, settings
from hypothesis import strategies as st


def order(
    params: SamplingParams, output: tuple[int, ...] = (), prompt: tuple[int, ...] = (0,), **kw: Any
) -> SampleOrder:
    return SampleOrder(params, np.array(prompt + output, np.int64), len(prompt), **kw)


def reference_distribution(logits: np.ndarray, p: SamplingParams, tokens: np.ndarray, num_prompt: int) -> np.ndarray:
    """Probabilities [vocab] float64 after every edit and filter, by sorting."""
    x = logits.astype(np.float64).copy()
    for token, bias in p.logit_bias.items():
        x[token] += bias
    for token in set(tokens.tolist()):
        x[token] = x[token] / p.repetition_penalty if x[token] > 0 else x[token] * p.repetition_penalty
    output = tokens[num_prompt:].tolist()
    for token in set(output):
        x[token] -= p.presence_penalty + p.frequency_penalty * output.count(token)
    x = np.exp((x - x.max()) / p.temperature)
    rank = np.lexsort((np.arange(len(x)), -x))
    keep = np.zeros(len(x), bool)
    keep[rank[: p.top_k or len(x)]] = True
    x[~keep] = 0
    total = x.sum()
    reached = 0.0
    keep[:] = False
    for token in rank:
        if x[token] == 0 or (reached >= p.top_p * total and p.top_p < 1):
            break
        keep[token] = True
        reached += x[token]
    x[~keep] = 0
    x[x < p.min_p * x.max()] = 0
    return x / x.sum()


PARAMS = st.builds(
    SamplingParams,
    max_tokens=st.just(8),
    temperature=st.sampled_from([0.3, 0.7, 1.0, 2.0]),
    top_k=st.sampled_from([0, 1, 3, 40, 500]),
    top_p=st.sampled_from([0.1, 0.5, 0.9, 0.99, 1.0]),
    min_p=st.sampled_from([0.0, 0.0, 0.02, 0.3]),
    repetition_penalty=st.sampled_from([1.0, 0.8, 1.3]),
    presence_penalty=st.sampled_from([0.0, 0.7]),
    frequency_penalty=st.sampled_from([0.0, 0.4]),
    logit_bias=st.dictionaries(st.integers(0, 49), st.floats(-3, 3, width=32), max_size=3),
    seed=st.integers(0, 2**64 - 1),
)


@settings(max_examples=150, deadline=None)
@given(PARAMS, st.sampled_from([50, 1000, 9001]), st.integers(0, 1000))
def test_draws_follow_the_reference_distribution(params: SamplingParams, vocab: int, data_seed: int) -> None:
    rng = np.random.default_rng(data_seed)
    logits = (rng.standard_normal(vocab) * 3).astype(np.float32)
    tokens = rng.integers(0, 50, 12)
    expected = reference_distribution(logits, params, tokens, 5)
    draws = 300
    counts: Mapping[int, int] = {}
    counts = {}
    for i in range(draws):
        seeded = replace(params, seed=i)
        (got,) = sample(logits[None].copy(), [(0, "r", SampleOrder(seeded, tokens, 5))])
        counts[got.token_id] = counts.get(got.token_id, 0) + 1
    allowed = expected > 0
    edge = [t for t in counts if not allowed[t]]
    # float32 against float64 may disagree about a token exactly on the edge of the nucleus
    assert sum(counts[t] for t in edge) <= 0.05 * draws, edge
    for token in np.argsort(-expected)[:5]:
        p = expected[token]
        assert abs(counts.get(int(token), 0) / draws - p) < 5 * math.sqrt(p * (1 - p) / draws) + 0.02


def test_greedy_rows_take_the_argmax_and_the_first_of_equals() -> None:
    logits = np.array([[0, 3, 3, 1], [5, 1, 2, 9]], np.float32)
    greedy = SamplingParams(max_tokens=1)
    got = sample(logits, [(1, "b", order(greedy)), (0, "a", order(greedy))])
    assert [(s.request_id, s.token_id) for s in got] == [("b", 3), ("a", 1)]


def test_forbidden_tokens_are_never_chosen() -> None:
    logits = np.array([[0, 9, 3, 1]], np.float32)
    (got,) = sample(logits, [(0, "a", order(SamplingParams(max_tokens=1), mask=TokenMask((1,))))])
    assert got.token_id == 2


def test_a_row_does_not_depend_on_the_others() -> None:
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((8, 3000)).astype(np.float32)
    orders = [
        order(SamplingParams(max_tokens=9, temperature=t, top_p=p, seed=s))
        for t, p, s in [
            (0, 1, 0),
            (1, 1, 3),
            (1, 0.9, 4),
            (0.5, 0.5, 9),
            (1, 1, 3),
            (0, 1, 1),
            (2, 0.99, 5),
            (1, 0.2, 6),
        ]
    ]
    together = sample(logits.copy(), [(i, str(i), o) for i, o in enumerate(orders)])
    alone = [sample(logits[i : i + 1].copy(), [(0, str(i), o)])[0] for i, o in enumerate(orders)]
    assert together == alone


def test_logprobs_are_of_the_model_not_of_the_filters() -> None:
    logits = np.array([[1.0, 2.0, 3.0, -1.0]], np.float32)
    params = SamplingParams(max_tokens=1, temperature=1.0, top_k=1, logprobs=2, logit_bias={0: 50.0})
    (got,) = sample(logits.copy(), [(0, "a", order(params))])
    assert got.token_id == 0
    log_sum = math.log(sum(math.exp(v) for v in (1, 2, 3, -1)))
    assert got.logprob is not None
    assert got.logprob.logprob == pytest.approx(1 - log_sum, abs=1e-5)
    assert [t for t, _ in got.logprob.top] == [2, 1]
    assert got.logprob.top[0][1] == pytest.approx(3 - log_sum, abs=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_not_numbers_fail_their_row_only(bad: float, temperature: float) -> None:
    logits = np.array([[1, bad, 3], [1, 2, 3]], np.float32)
    params = SamplingParams(max_tokens=1, temperature=temperature, top_k=1)
    got = sample(logits, [(0, "a", order(params)), (1, "b", order(params))])
    assert got[0].failure is not None
    assert "not finite" in str(got[0].failure)
    assert (got[1].failure, got[1].token_id) == (None, 2)


MASKS = st.sampled_from(
    [
        None,
        TokenMask(forbidden=(3, 7)),
        TokenMask(spans=((2, 40),)),
        TokenMask(forced=(5,)),
        TokenMask(allowed=np.packbits(np.arange(64) % 3 == 0, bitorder="little")),
        TokenMask(preferred=30),
    ]
)


@given(
    params=PARAMS,
    greedy=st.booleans(),
    mask=MASKS,
    bad=st.sampled_from([np.nan, np.inf]),
    at=st.integers(0, 63),
    num_candidates=st.sampled_from([0, 0, 4]),
)
def test_one_logit_that_is_no_number_fails_its_row_wherever_it_is_and_no_other(
    params: SamplingParams, greedy: bool, mask: TokenMask | None, bad: float, at: int, num_candidates: int
) -> None:
    params = replace(params, temperature=0.0) if greedy else params
    logits = np.random.default_rng(at).standard_normal((2, 64)).astype(np.float32)
    asked = order(params, mask=mask, num_candidates=num_candidates)
    alone = sample(logits[1:].copy(), [(0, "b", asked)])[0]
    logits[0, at] = bad
    spoilt, other = sample(logits, [(0, "a", asked), (1, "b", asked)])
    assert "not finite" in str(spoilt.failure)
    assert other == alone


@given(st.integers(1, 400), st.integers(1, 3000), st.integers(0, 99))
def test_top_tokens_equals_a_sort(k: int, vocab: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 200, vocab).astype(np.float32)  # many equal values
    k = min(k, vocab)
    assert top_tokens(values, k).tolist() == np.lexsort((np.arange(vocab), -values))[:k].tolist()


def test_uniform_is_uniform_and_differs_by_seed_and_index() -> None:
    draws = np.array([uniform(s, i) for s in range(40) for i in range(50)])
    assert draws.min() >= 0
    assert draws.max() < 1
    assert abs(draws.mean() - 0.5) < 0.02
    assert len(set(draws.tolist())) == len(draws)
