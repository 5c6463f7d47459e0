"""Trained weights, every precision: 200 mixed requests in company get the very bits that each gets alone."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from attendant.bundle import read_manifest
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.engine.engine import Engine
from attendant.models.generators import load_generator
from attendant.settings import EngineSettings
from tokenizers import Tokenizer

from tests.test_isolation import Recorder

NUM_REQUESTS = 200
CONTEXT = 64
TEXT = (
    "where is my order refund delivery account password Paris river the a I want money back please 48213 77 "
    "code def return import because snow train museum Ünïcode 😀 ? ! . and of to in"
)


@dataclass(frozen=True)
class Asked:
    """A request, and after how many of its steps in company it is cancelled, if at all."""

    prompt: tuple[int, ...]
    params: SamplingParams
    cancel_after: int | None


def make_requests(tokenizer: Tokenizer) -> list[Asked]:
    """Short prompts, a third of them with beginnings in common; greedy and sampled; one in eight is cancelled."""
    rng = random.Random(13)
    families = [" ".join(rng.choices(TEXT.split(), k=16)) for _ in range(3)]
    asked = []
    for _ in range(NUM_REQUESTS):
        text = " ".join(rng.choices(TEXT.split(), k=rng.choice([1, 2, 4, 6])))
        prompt = tokenizer.encode(text, add_special_tokens=False).ids
        if rng.random() < 0.35:
            shared = tokenizer.encode(rng.choice(families), add_special_tokens=False).ids
            prompt = shared[: rng.randrange(10, min(len(shared), 30))] + prompt
        fields: dict[str, Any] = {"max_tokens": rng.choice([1, 2, 3, 5, 8]), "logprobs": rng.choice([0, 3])}
        if rng.random() < 0.5:
            fields |= {"temperature": rng.choice([0.4, 0.9, 1.3]), "seed": rng.randrange(1 << 40)}
            fields |= rng.choice([{}, {"top_p": 0.9}, {"top_k": 20}, {"min_p": 0.05}])
        if rng.random() < 0.2:
            fields["repetition_penalty"] = 1.2
        cancel_after = rng.randrange(1, 6) if rng.random() < 0.12 else None
        asked.append(Asked(tuple(prompt[:40]), SamplingParams(**fields), cancel_after))
    return asked


def make_engine(bundle: Path, **changes: Any) -> Engine:
    chosen = EngineSettings(
        **{"max_context_length": CONTEXT, "max_num_seqs": 8, "max_num_batched_tokens": 40}
        | {"threads": 1, "spinning": False}
        | changes
    )
    return load_generator(bundle, read_manifest(bundle), chosen, verify=False).engines[0]


def together(bundle: Path, asked: list[Asked]) -> Recorder:
    """All of them, arriving at random. Preemption is in tests/test_isolation.py: these answers are too short for it."""
    rng, recorder = random.Random(14), Recorder()
    engine = make_engine(bundle)
    waiting, cancels = list(enumerate(asked)), {}
    while waiting or engine.has_work:
        for _ in range(min(rng.choice([0, 0, 1, 3, 8]), len(waiting))):
            number, one = waiting.pop(0)
            engine.submit(Request(str(number), one.prompt, one.params, time.monotonic_ns()))
            if one.cancel_after is not None:
                cancels[str(number)] = one.cancel_after
        recorder.take(engine.step().events)
        for id_ in [id_ for id_ in cancels if id_ not in recorder.ends]:
            cancels[id_] -= 1
            if cancels[id_] == 0:
                engine.cancel(id_)
    recorder.take(engine.step().events)
    return recorder


def test_every_answer_equals_the_answer_alone(smollm2_bundle: Path) -> None:
    asked = make_requests(Tokenizer.from_file(str(smollm2_bundle / "tokenizer.json")))
    company = together(smollm2_bundle, asked)
    assert len(company.ends) == NUM_REQUESTS
    alone, engine = Recorder(), make_engine(smollm2_bundle, max_num_seqs=1, prefix_cache=False)
    num_compared = 0
    for number, one in enumerate(asked):
        id_ = str(number)
        engine.submit(Request(id_, one.prompt, one.params, time.monotonic_ns()))
        while engine.has_work:
            alone.take(engine.step().events)
        got, logprobs = company.answer(id_), company.logprobs.get(id_, [])
        if got[1] == "cancelled":
            assert got[0] == alone.tokens[id_][: len(got[0])]
            assert logprobs == alone.logprobs.get(id_, [])[: len(logprobs)]
        else:
            assert got == alone.answer(id_)
            assert logprobs == alone.logprobs.get(id_, []), "log-probabilities are equal to the last bit"
            num_compared += 1
    assert num_compared >= 0.8 * NUM_REQUESTS


def test_different_requests_get_different_answers(smollm2_bundle: Path) -> None:
    """The comparison above would be worth little if the model said the same to everybody."""
    if read_manifest(smollm2_bundle).precision != "fp32":
        pytest.skip("once is enough")
    asked = make_requests(Tokenizer.from_file(str(smollm2_bundle / "tokenizer.json")))
    assert len({one.prompt for one in asked}) > 0.9 * NUM_REQUESTS
