"""A rule of one's own, as structured output will be one: it goes through greedy and sampled answers, beams, preemption,
whole rows of logits and candidates, and nothing it rules out is ever generated."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from attendant.bundle import read_manifest
from attendant.core.beams import BeamParams
from attendant.core.events import FailedEvent
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.core.token_rules import TokenMask, TokenRule, joined_mask
from attendant.engine.engine import Engine
from attendant.models.generators import load_generator
from attendant.runtime.masks import allows, apply_mask, rules_out
from attendant.settings import EngineSettings

from tests.engine.helpers import drain, request
from tests.synthetic import make_synthetic_bundle

VOCAB, CONTEXT = 262, 128
WORD = (103, 104, 105)  # "abc" of the synthetic tokenizer, or three tokens of any other


def bits_of(flags: npt.NDArray[np.bool_] | list[bool]) -> npt.NDArray[np.uint8]:
    """What a mask allows, by id."""
    return np.packbits(np.array(flags), bitorder="little")


class EvensThenWord:
    """Even ids only, ``num_even`` of them; then the tokens of a word, again and again. It knows where it is from what
    it has accepted, and that this is what the sequence has."""

    def __init__(self, num_even: int, num_prompt: int, accepted: tuple[int, ...] = ()) -> None:
        self._num_even = num_even
        self._num_prompt = num_prompt
        self._accepted = list(accepted)

    def mask(self, tokens: npt.NDArray[np.int64]) -> TokenMask | None:
        assert tokens[self._num_prompt :].tolist() == self._accepted
        allowed = np.zeros(VOCAB, np.bool_)
        done = len(self._accepted) - self._num_even
        allowed[slice(6, None, 2) if done < 0 else WORD[done % len(WORD)]] = True
        return TokenMask(allowed=bits_of(allowed))

    def accept(self, token: int) -> None:
        self._accepted.append(token)

    def fork(self) -> TokenRule:
        return EvensThenWord(self._num_even, self._num_prompt, tuple(self._accepted))

    def is_complete(self) -> bool:
        return False


def ruled(id_: str, prompt: tuple[int, ...], num_even: int, params: SamplingParams, **fields: Any) -> Request:
    rules = (EvensThenWord(num_even, len(prompt)),)
    return Request(id_, prompt, params, time.monotonic_ns(), rules=rules, **fields)


def assert_follows(tokens: list[int], num_even: int) -> None:
    assert all(token % 2 == 0 and token >= 6 for token in tokens[:num_even])
    assert tokens[num_even:] == [WORD[i % len(WORD)] for i in range(len(tokens) - num_even)]


@pytest.fixture(scope="module")
def slots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rules") / "slots"
    return make_synthetic_bundle(out, context_length=CONTEXT, heads=2, kv_heads=1, head_size=64)


def make_engine(bundle: Path, **changes: Any) -> Engine:
    chosen = EngineSettings(**{"max_num_seqs": 4, "max_num_batched_tokens": 40, "threads": 1} | changes)
    return load_generator(bundle, read_manifest(bundle), chosen, verify=False).engines[0]


PARAMS = {
    "greedy": SamplingParams(max_tokens=24),
    "sampled": SamplingParams(max_tokens=24, temperature=1.5, seed=5),
    "nucleus": SamplingParams(max_tokens=24, temperature=1.0, top_p=0.9, seed=6),
    "top_k": SamplingParams(max_tokens=24, temperature=1.0, top_k=5, seed=7, logprobs=2),
    "penalties": SamplingParams(max_tokens=24, repetition_penalty=1.3, suppressed=(8, 10), logit_bias={7: 50.0}),
}


def check_all_ways(engine: Engine) -> None:
    """All ways to choose together, between others without a rule."""
    for i, (name, params) in enumerate(PARAMS.items()):
        engine.submit(ruled(name, tuple(range(10, 14 + 3 * i)), 4 + i, params))
        engine.submit(request(f"free {i}", range(20, 24 + i), 16))
    beams, ids = BeamParams(3, 3), ("beams", "beams.1", "beams.2")
    engine.submit(ruled("beams", (9, 8, 7), 5, SamplingParams(max_tokens=14), beams=beams, hypotheses=ids))
    collected = drain(engine)
    assert [end for end in collected.ends.values() if isinstance(end, FailedEvent)] == []
    for i, name in enumerate(PARAMS):
        assert len(collected.tokens[name]) == 24
        assert_follows(collected.tokens[name], 4 + i)
    answers = [collected.tokens[id_] for id_ in ids]
    for answer in answers:
        assert_follows(answer, 5)
    assert len({tuple(answer) for answer in answers}) == 3


def test_a_rule_holds_in_slots(slots: Path) -> None:
    check_all_ways(make_engine(slots))


def test_a_rule_outlives_a_preemption(slots: Path) -> None:
    manifest = read_manifest(slots)
    engine = make_engine(slots, kv_memory=CONTEXT * manifest.kv_bytes_per_token())
    for i in range(4):
        engine.submit(ruled(str(i), tuple(range(10 + i, 34)), 30, SamplingParams(max_tokens=60, temperature=1.0)))
    collected = drain(engine)
    assert engine._scheduler.num_preemptions > 0
    for i in range(4):
        assert_follows(collected.tokens[str(i)], 30)


def test_a_rule_holds_over_candidates(paged_bundle: Path) -> None:
    check_all_ways(make_engine(paged_bundle))


class Narrow:
    """At every tenth token two ways on, at all others one: beams without a continuation wait, and go on with others."""

    def __init__(self, num_prompt: int) -> None:
        self._num_prompt = num_prompt

    def mask(self, tokens: npt.NDArray[np.int64]) -> TokenMask | None:
        allowed = np.zeros(VOCAB, np.bool_)
        place = len(tokens) - self._num_prompt
        allowed[[10, 12] if place % 10 == 9 else [14]] = True
        return TokenMask(allowed=bits_of(allowed))

    def accept(self, token: int) -> None:
        pass

    def fork(self) -> TokenRule:
        return self

    def is_complete(self) -> bool:
        return False


def check_narrow_beams(engine: Engine) -> None:
    ids = ("b", "b.1", "b.2")
    params = SamplingParams(max_tokens=75)
    asked = Request("b", tuple(range(9, 15)), params, time.monotonic_ns(), rules=(Narrow(6),), beams=BeamParams(3, 3))
    engine.submit(replace(asked, hypotheses=ids))
    collected = drain(engine)
    answers = [collected.tokens[id_] for id_ in ids]
    assert len({tuple(answer) for answer in answers}) == 3
    for answer in answers:
        assert [token for place, token in enumerate(answer) if place % 10 != 9] == [14] * 68
        assert set(answer[9::10]) <= {10, 12}
    engine.check()


def test_beams_wait_where_a_rule_leaves_too_few(slots: Path) -> None:
    check_narrow_beams(make_engine(slots))


def test_beams_that_waited_go_on_in_pages(paged_bundle: Path) -> None:
    check_narrow_beams(make_engine(paged_bundle))


def test_a_request_keeps_its_rules_as_they_were(slots: Path) -> None:
    engine, asked = make_engine(slots), ruled("1", (9, 9), 2, SamplingParams(max_tokens=6))
    first, second = (drain(submitted(engine, asked)).tokens["1"] for _ in range(2))
    assert first == second


def submitted(engine: Engine, asked: Request) -> Engine:
    engine.submit(asked)
    return engine


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_rules_that_leave_nothing_end_their_request_only(slots: Path, temperature: float) -> None:
    engine = make_engine(slots)
    params = SamplingParams(max_tokens=9, temperature=temperature, suppressed=WORD)
    engine.submit(ruled("stuck", (9, 9), 3, params))
    engine.submit(request("other", [9, 9], 9))
    collected = drain(engine)
    end = collected.ends["stuck"]
    assert isinstance(end, FailedEvent)
    assert "leave no token" in str(end.error)
    assert len(collected.tokens["stuck"]) == 3
    assert collected.answer("other")[1] in ("length", "stop")


class Says:
    """A rule with one mask."""

    def __init__(self, mask: TokenMask | None) -> None:
        self._mask = mask

    def mask(self, tokens: npt.NDArray[np.int64]) -> TokenMask | None:
        return self._mask

    def accept(self, token: int) -> None:
        pass

    def fork(self) -> TokenRule:
        return self

    def is_complete(self) -> bool:
        return False


def test_what_several_rules_say_holds_together() -> None:
    tokens = np.array([1, 2])
    one, other = bits_of([True, True, False, True] + [True] * 5), bits_of([True, False, True])
    masks = (TokenMask((1,), ((5, 9),), one), None, TokenMask((2,), allowed=other, forced=(4,), preferred=7))
    joined = joined_mask([Says(mask) for mask in masks], tokens)
    assert joined is not None
    assert (joined.forbidden, joined.spans, joined.forced, joined.preferred) == ((1, 2), ((5, 9),), (4,), 7)
    assert joined.allowed is not None
    assert joined.allowed.tolist() == bits_of([True, False, False]).tolist()
    assert joined_mask([Says(None)], tokens) is None
    assert joined_mask([Says(masks[0]), Says(None)], tokens) is masks[0]


@pytest.mark.parametrize("num_bits", [24, 64, 40])
def test_bits_allow_what_flags_say(num_bits: int) -> None:
    """For rows shorter and longer than the mask, to the bit, also where logits are no numbers."""
    rng = np.random.default_rng(num_bits)
    flags = rng.random(num_bits) < 0.4
    mask = TokenMask((1,), allowed=bits_of(flags))
    for length in (30, 40, 80):
        row = rng.standard_normal(length).astype(np.float32)
        row[flags.argmin()], row[flags.argmin() + 1] = np.nan, -np.inf
        may_come = [token != 1 and token < num_bits and bool(flags[token]) for token in range(length)]
        masked = row.copy()
        apply_mask(masked, mask)
        assert np.array_equal(masked, np.where(may_come, row, np.float32(-np.inf)), equal_nan=True)
        assert rules_out(mask, np.arange(length)).tolist() == [not may for may in may_come]
        assert [allows(mask, token) for token in range(length)] == may_come
    both = joined_mask([Says(mask), Says(TokenMask(allowed=np.array([255, 0], np.uint8)))], np.array([1]))
    assert both is not None
    assert both.allowed is not None
    assert both.allowed.tolist() == [int(bits_of(flags)[0]), 0]
