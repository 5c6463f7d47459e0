"""Choosing from candidates against the sampler on whole rows; the device is numpy, and breaks ties as it likes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from attendant.core.plan import SampleOrder
from attendant.core.sampling import SamplingParams
from attendant.core.token_rules import TokenMask
from attendant.runtime.candidates import Candidates, choose, sampling_inputs
from attendant.runtime.sampler import Sampled, sample, uniform
from hypothesis import given, settings
from hypothesis import strategies as st

NUM_TOP = 64


def order(
    params: SamplingParams, output: tuple[int, ...] = (), prompt: tuple[int, ...] = (0,), **kw: Any
) -> SampleOrder:
    return SampleOrder(params, np.array(prompt + output, np.int64), len(prompt), **kw)


class Device:
    """Holds whole rows and hands out candidates; counts what is fetched."""

    def __init__(self, logits: np.ndarray, seed: int = 0) -> None:
        self.logits = logits
        self.fetched: list[list[int]] = []
        self._rng = np.random.default_rng(seed)

    def candidates(self, orders: list[tuple[int, str, SampleOrder]]) -> Candidates:
        rows, vocab_size = self.logits.shape
        inverse, u = np.empty(rows, np.float32), np.empty(rows, np.float32)
        sampling_inputs(orders, inverse, u)
        shown = np.where(self.logits >= -3e38, self.logits, np.float32(-3e38))
        chance = self._rng.random(self.logits.shape)
        ids = np.lexsort((chance, -shown), axis=-1)[:, : min(NUM_TOP, vocab_size)]
        with np.errstate(all="ignore"):
            _, log_sum = self._running(np.ones(rows, np.float32))
            running, scaled_log_sum = self._running(inverse)
        drawn = np.array([int((row <= x * row[-1]).sum()) for row, x in zip(running, u, strict=True)])
        drawn = np.minimum(drawn, vocab_size - 1)
        return Candidates(
            vocab_size,
            np.take_along_axis(shown, ids, axis=1),
            ids,
            log_sum,
            scaled_log_sum,
            drawn,
            self.logits[np.arange(rows), drawn],
        )

    def _running(self, inverse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Running sums of weights [rows, vocab] float64, and their logarithm [rows] float32 with a device's error."""
        x = self.logits.astype(np.float64)
        peak = x.max(axis=1)
        running = np.exp((x - peak[:, None]) * inverse[:, None]).cumsum(axis=1)
        error = 1 + 3e-6 * self._rng.uniform(-1, 1, len(x))
        return running, (peak * inverse + np.log(running[:, -1] * error)).astype(np.float32)

    def fetch(self, rows: list[int]) -> np.ndarray:
        self.fetched.append(rows)
        return self.logits[rows]


def choose_both(
    logits: np.ndarray, orders: list[SampleOrder], seed: int = 0
) -> tuple[list[Sampled], list[Sampled], list[int]]:
    """The choice from candidates, the sampler's from whole rows, and the rows that were fetched."""
    device = Device(logits, seed)
    numbered = [(row, f"r{row}", one) for row, one in enumerate(orders)]
    found = choose(device.candidates(numbered), numbered, device.fetch)
    whole = sample(logits.copy(), numbered)
    assert len(device.fetched) <= 1
    return found, whole, device.fetched[0] if device.fetched else []


def assert_same(found: Sampled, whole: Sampled) -> None:
    assert (found.request_id, found.token_id, found.failure) == (whole.request_id, whole.token_id, whole.failure)
    assert (found.logprob is None) == (whole.logprob is None)
    if found.logprob is not None and whole.logprob is not None:
        assert found.logprob.token_id == whole.logprob.token_id
        assert found.logprob.logprob == pytest.approx(whole.logprob.logprob, rel=1e-5, abs=1e-4)
        assert [t for t, _ in found.logprob.top] == [t for t, _ in whole.logprob.top]
        values = [value for _, value in whole.logprob.top]
        assert [value for _, value in found.logprob.top] == pytest.approx(values, rel=1e-5, abs=1e-4)


def is_near_boundary(logits: np.ndarray, one: SampleOrder) -> bool:
    """Whether float32 sums may lead to the neighbour of the token that float64 sums lead to."""
    x = logits.astype(np.float64) / one.params.temperature
    running = np.exp(x - x.max()).cumsum()
    u = uniform(one.params.seed, len(one.tokens) - one.num_prompt)
    return bool((np.abs(running / running[-1] - u) <= 1e-5 * max(u, 1e-2)).any())


PARAMS = st.builds(
    SamplingParams,
    max_tokens=st.just(8),
    temperature=st.sampled_from([0.0, 0.0, 0.1, 0.7, 1.0, 3.0]),
    top_k=st.sampled_from([0, 0, 1, 3, 40, 63, 64, 65, 5000]),
    top_p=st.sampled_from([0.1, 0.5, 0.9, 1.0, 1.0]),
    min_p=st.sampled_from([0.0, 0.0, 0.02, 0.3, 1.0]),
    repetition_penalty=st.sampled_from([1.0, 1.0, 0.7, 1.3]),
    presence_penalty=st.sampled_from([0.0, 0.0, 0.7, -0.7]),
    frequency_penalty=st.sampled_from([0.0, 0.0, 0.4, -0.4]),
    logit_bias=st.dictionaries(st.integers(0, 4), st.sampled_from([-100.0, -1.0, 0.5, 2.0, 100.0]), max_size=2),
    seed=st.integers(0, 2**64 - 1),
    logprobs=st.sampled_from([None, None, 0, 1, 5]),
)
FILLS = {
    "smooth": lambda rng, shape: rng.standard_normal(shape) * 3,
    "peaked": lambda rng, shape: rng.standard_normal(shape) * 30,
    "tied": lambda rng, shape: rng.integers(-4, 5, shape),
    "half": lambda rng, shape: (rng.standard_normal(shape) * 3).astype(np.float16),
    "masked": lambda rng, shape: np.where(rng.random(shape) < 0.9, -np.inf, rng.standard_normal(shape)),
}


@pytest.mark.filterwarnings("ignore:invalid value")  # all tokens forbidden
@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(PARAMS, st.sets(st.integers(0, 4), max_size=3)), min_size=1, max_size=6),
    st.sampled_from([5, 64, 65, 300, 1000]),
    st.sampled_from(list(FILLS)),
    st.integers(0, 1000),
)
def test_the_same_tokens_as_from_whole_rows(
    kinds: list[tuple[SamplingParams, set[int]]], vocab_size: int, fill: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    logits = FILLS[fill](rng, (len(kinds), vocab_size)).astype(np.float32)
    logits[:, 0] = 1.0  # a masked row keeps a token
    orders = []
    for row, (params, forbidden) in enumerate(kinds):
        likely = np.argsort(-logits[row])[:70]
        tokens = np.concatenate([rng.integers(0, vocab_size, 6), rng.choice(likely, 6)])
        ids = tuple(int(likely[i]) for i in forbidden)
        bias = {int(rng.choice(likely)): value for value in params.logit_bias.values()}
        orders.append(SampleOrder(replace(params, logit_bias=bias), tokens, 5, TokenMask(ids) if ids else None))
    found, whole, _ = choose_both(logits, orders, seed)
    for row, one in enumerate(orders):
        p = one.params
        if found[row].token_id != whole[row].token_id:
            filtered = p.top_p < 1 or p.min_p or 0 < p.top_k < vocab_size
            assert p.temperature > 0, row
            assert not filtered, row
            assert is_near_boundary(logits[row], one)
        else:
            assert_same(found[row], whole[row])


def smooth(rows: int = 1, vocab_size: int = 3000) -> np.ndarray:
    return (np.random.default_rng(5).standard_normal((rows, vocab_size)) * 3).astype(np.float32)


RANK = np.argsort(-smooth()[0])  # of row 0's tokens
BEST, OUTSIDE = int(RANK[0]), int(RANK[2000])
CASES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({}, {}, False),
    ({"logprobs": 0}, {}, False),
    ({"logprobs": 63}, {}, False),
    ({"logprobs": 64}, {}, True),  # a token outside may equal the last candidate
    ({}, {"mask": TokenMask(tuple(RANK[:5].tolist()))}, False),
    ({}, {"mask": TokenMask(tuple(RANK[:64].tolist()))}, True),
    ({"repetition_penalty": 1.3}, {"output": (BEST, OUTSIDE)}, False),
    ({"repetition_penalty": 0.9}, {"output": (OUTSIDE,)}, False),  # cannot rise that high
    ({"presence_penalty": -50}, {"output": (OUTSIDE,)}, True),
    ({"presence_penalty": -50}, {"output": (int(RANK[9]),)}, False),
    ({"logit_bias": {OUTSIDE: 0.5}}, {}, False),
    ({"logit_bias": {OUTSIDE: 50.0}}, {}, True),
    ({"logit_bias": {int(RANK[30]): 50.0}}, {}, False),
    ({"temperature": 1.0}, {}, False),
    ({"temperature": 1.0, "logprobs": 3}, {}, False),
    ({"temperature": 1.0, "top_k": 3000}, {}, False),  # filters nothing
    ({"temperature": 1.0, "repetition_penalty": 1.1}, {}, True),  # a draw from an edited vocabulary
    ({"temperature": 1.0}, {"mask": TokenMask((1,))}, True),
    ({"temperature": 1.0, "top_k": 63}, {}, False),
    ({"temperature": 1.0, "top_k": 64}, {}, True),
    ({"temperature": 1.0, "top_k": 40, "top_p": 0.9, "min_p": 0.1}, {}, False),
    ({"temperature": 1.0, "top_k": 40, "presence_penalty": 1.0}, {"output": (BEST,)}, False),
    ({"temperature": 0.5, "top_p": 0.9}, {}, False),
    ({"temperature": 0.5, "top_p": 0.9, "presence_penalty": 1.0}, {"output": (BEST,)}, False),
    ({"temperature": 2.0, "top_p": 0.9}, {}, True),  # too much weight lies outside
    ({"temperature": 0.5, "min_p": 0.1}, {}, False),
    ({"temperature": 2.0, "min_p": 0.01}, {}, True),
]


@pytest.mark.parametrize(("params", "kw", "is_fetched"), CASES)
def test_only_rows_that_need_it_are_fetched(params: dict[str, Any], kw: dict[str, Any], is_fetched: bool) -> None:
    logits = smooth(3)
    others = order(SamplingParams(8))
    one = order(SamplingParams(8, **{"seed": 3} | params), **kw)
    found, whole, fetched = choose_both(logits, [one, others, others])
    assert fetched == ([0] if is_fetched else [])
    for here, there in zip(found, whole, strict=True):
        assert_same(here, there)


def test_every_row_that_needs_it_is_fetched_in_one_call() -> None:
    hard = SamplingParams(8, temperature=1.0, repetition_penalty=1.2)
    _, _, fetched = choose_both(smooth(4), [order(hard), order(SamplingParams(8)), order(hard), order(hard)])
    assert fetched == [0, 2, 3]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_not_numbers_fail_with_the_words_of_the_sampler(bad: float, temperature: float) -> None:
    logits = smooth(2)
    logits[0, 7:9] = bad
    params = SamplingParams(8, temperature=temperature)
    found, whole, fetched = choose_both(logits, [order(params), order(params)])
    assert fetched == [0]
    assert found[0].failure == whole[0].failure == "the model produced 2 logits that are not finite numbers, of 3000"
    assert found[1].failure is None


def test_the_first_of_equal_logits_is_taken_whatever_the_device_puts_first() -> None:
    logits = np.zeros((20, 3000), np.float32)
    logits[:, 100:160] = 5.0
    found, _, fetched = choose_both(logits, [order(SamplingParams(8))] * 20)
    assert {one.token_id for one in found} == {100}
    assert not fetched
    logits[:, 100:170] = 5.0  # more than there are candidates
    found, _, fetched = choose_both(logits, [order(SamplingParams(8))] * 20)
    assert {one.token_id for one in found} == {100}
    assert len(fetched) == 20


@pytest.mark.parametrize("temperature", [1e-300, 1e-30, 1e-6, 100.0])
@pytest.mark.parametrize("top_p", [0.9, 1.0])
@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_extreme_temperatures(temperature: float, top_p: float) -> None:
    params = [SamplingParams(8, temperature=temperature, top_p=top_p, seed=seed) for seed in range(20)]
    found, whole, _ = choose_both(smooth(20), [order(p) for p in params])
    assert [one.token_id for one in found] == [one.token_id for one in whole]


def test_sampling_inputs_are_neutral_for_greedy_rows_and_below_one_for_all() -> None:
    inverse, u = np.full(4, np.nan, np.float32), np.full(4, np.nan, np.float32)
    sampled = order(SamplingParams(8, temperature=0.5, seed=11), output=(4, 5))
    sampling_inputs([(2, "a", order(SamplingParams(8))), (1, "b", sampled)], inverse, u)
    assert inverse.tolist() == [1, 2, 1, 1]
    assert u.tolist() == [0, np.float32(uniform(11, 2)), 0, 0]
    # the number of this seed rounds to 1 in float32
    seed = next(s for s in [_seed_of(2**53 - 1)] if uniform(s, 0) > 1 - 2.0**-30)
    sampling_inputs([(0, "a", order(SamplingParams(8, temperature=1e-300, seed=seed)))], inverse, u)
    assert u[0] < 1
    assert np.isfinite(inverse).all()


def _seed_of(top_bits: int) -> int:
    """The seed whose first number is ``top_bits`` / 2**53: the finaliser of SplitMix64 run backwards."""
    mask = 2**64 - 1

    def unshift(z: int, by: int) -> int:
        found = z
        for _ in range(64 // by):
            found = z ^ (found >> by)
        return found & mask

    z = unshift(top_bits << 11, 31) * pow(0x94D049BB133111EB, -1, 2**64) & mask
    z = unshift(z, 27) * pow(0xBF58476D1CE4E5B9, -1, 2**64) & mask
    return (unshift(z, 30) - 0x9E3779B97F4A7C15) & mask
