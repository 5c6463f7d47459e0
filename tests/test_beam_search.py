"""Beam search in the continuous batch gives what Hugging Face's ``generate`` gives, whoever else is being served."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from attendant.bundle import read_manifest
from attendant.core.beams import BeamParams
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.engine.block_pool import BlockPool
from attendant.engine.engine import Engine
from attendant.models.generators import load_generator
from attendant.settings import EngineSettings

from tests.bundles import make_llama, make_llama_bundle, make_paged_bundle
from tests.engine.helpers import Collected

CONTEXT = 96
NUM_TOKENS = 14
LAYOUTS = ("slots", "pages")
CASES: list[dict[str, Any]] = [
    {"num_beams": 2},
    {"num_beams": 3, "num_return_sequences": 3},
    {"num_beams": 4, "length_penalty": 2.0, "early_stopping": "never", "num_return_sequences": 2},
    {"num_beams": 4, "length_penalty": -1.5},
    {"num_beams": 5, "early_stopping": "first", "num_return_sequences": 5, "eos": 3},
    {"num_beams": 3, "no_repeat_ngram_size": 2, "num_return_sequences": 2},
    {"num_beams": 2, "repetition_penalty": 1.4, "min_tokens": 6, "eos": 6},
    {"num_beams": 6, "length_penalty": 0.0, "early_stopping": "never", "num_return_sequences": 4, "eos": 12},
]
STOPPING = {"heuristic": False, "first": True, "never": "never"}


@pytest.fixture(scope="module")
def model() -> Any:
    return make_llama(max_position_embeddings=CONTEXT, rounded=True)


@pytest.fixture(scope="module", params=LAYOUTS)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    out = tmp_path_factory.mktemp("bundles") / "llama"
    if request.param == "slots":
        make_llama_bundle(out, "fp32", max_position_embeddings=CONTEXT, rounded=True)
    else:
        make_paged_bundle(out, "fp16", max_position_embeddings=CONTEXT, rounded=True)
    manifest = read_manifest(out)
    memory = 4 * CONTEXT * manifest.kv_bytes_per_token()  # of four sequences: two searches take turns
    chosen = EngineSettings(max_num_seqs=8, kv_memory=memory, threads=2, spinning=False)
    return load_generator(out, manifest, chosen, verify=False).engines[0]


def prompts(case: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(case)
    return [torch.randint(3, 280, (length,), generator=generator).tolist() for length in (1, 9, 17)]


def eos_of(case: dict[str, Any]) -> list[int]:
    """More ids that end an answer, so that hypotheses end early: a random model rarely does."""
    return list(range(3, 3 + 20 * case.get("eos", 1), 20))


def generated(model: Any, prompt: list[int], case: dict[str, Any]) -> list[list[int]]:
    """The model's own answers, without prompt and padding, the token that ends them included."""
    eos = [2, *eos_of(case)]
    output = model.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        max_new_tokens=NUM_TOKENS,
        do_sample=False,
        num_beams=case["num_beams"],
        num_return_sequences=case.get("num_return_sequences", 1),
        length_penalty=case.get("length_penalty", 1.0),
        early_stopping=STOPPING[case.get("early_stopping", "heuristic")],
        no_repeat_ngram_size=case.get("no_repeat_ngram_size", 0),
        repetition_penalty=case.get("repetition_penalty", 1.0),
        min_new_tokens=case.get("min_tokens"),
        eos_token_id=eos,
        pad_token_id=0,
    )
    answers = []
    for row in output[:, len(prompt) :].tolist():
        end = next((i for i, token in enumerate(row) if token in eos), len(row) - 1)
        answers.append(row[: end + 1])
    return answers


def request_of(name: str, prompt: list[int], case: dict[str, Any]) -> Request:
    number = case.get("num_return_sequences", 1)
    beams = BeamParams(
        case["num_beams"], number, case.get("length_penalty", 1.0), case.get("early_stopping", "heuristic")
    )
    params = SamplingParams(
        max_tokens=NUM_TOKENS,
        min_tokens=case.get("min_tokens", 0),
        stop_token_ids=tuple(eos_of(case)),
        no_repeat_ngram_size=case.get("no_repeat_ngram_size", 0),
        repetition_penalty=case.get("repetition_penalty", 1.0),
        logprobs=0,
    )
    ids = tuple(name if i == 0 else f"{name}.{i}" for i in range(number))
    return Request(name, tuple(prompt), params, time.monotonic_ns(), beams=beams, hypotheses=ids)


def finish(engine: Engine, collected: Collected) -> None:
    while engine.has_work:
        collected.take(engine.step().events)
        engine.check()


def answers(collected: Collected, request: Request) -> list[list[int]]:
    found = []
    for name in request.hypotheses:
        tokens, _, stop_token = collected.answer(name)
        found.append(tokens if stop_token is None else [*tokens, stop_token])
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(f"{key[:6]}{value}" for key, value in case.items()))
def test_hypotheses_equal_those_of_generate(engine: Engine, model: Any, case: dict[str, Any]) -> None:
    """Several searches and a plain request run together; memory is scarce, so that some are preempted."""
    collected = Collected()
    requests = [request_of(f"r{i}", prompt, case) for i, prompt in enumerate(prompts(CASES.index(case)))]
    greedy = Request("greedy", tuple(prompts(99)[1]), SamplingParams(max_tokens=NUM_TOKENS), time.monotonic_ns())
    for request in (*requests[:1], greedy, *requests[1:]):
        engine.submit(request)
        collected.take(engine.step().events)
    finish(engine, collected)
    for request in requests:
        found, wanted = answers(collected, request), generated(model, list(request.prompt), case)
        # the weights of pages are in fp16, whose rounding decides between hypotheses of nearly the same score
        checked = 1 if isinstance(engine._scheduler.pool, BlockPool) else len(wanted)
        assert found[:checked] == wanted[:checked], request.id


@pytest.mark.parametrize("case", [CASES[1], CASES[4]], ids=["3 beams", "5 beams"])
def test_hypotheses_do_not_depend_on_others(engine: Engine, case: dict[str, Any]) -> None:
    """Alone and in company, with memory for four sequences: the same tokens."""
    prompt = prompts(7)[2]
    alone, together = Collected(), Collected()
    engine.submit(request_of("alone", prompt, case))
    finish(engine, alone)
    for number in range(3):
        engine.submit(request_of(f"r{number}", prompt[number:], case))
        engine.submit(Request(f"g{number}", tuple(prompt), SamplingParams(max_tokens=30), time.monotonic_ns()))
        together.take(engine.step().events)
    finish(engine, together)
    assert answers(together, request_of("r0", prompt, case)) == answers(alone, request_of("alone", prompt, case))


def test_a_cancelled_search_ends_all_its_hypotheses_and_frees_its_places(engine: Engine) -> None:
    collected = Collected()
    request = request_of("gone", prompts(1)[1], {"num_beams": 4, "num_return_sequences": 3})
    other = request_of("stays", prompts(1)[1], {"num_beams": 4, "num_return_sequences": 3})
    engine.submit(request)
    engine.submit(other)
    for _ in range(4):
        collected.take(engine.step().events)
    engine.cancel("gone.2")
    finish(engine, collected)
    assert [collected.answer(name)[1] for name in request.hypotheses] == ["cancelled"] * 3
    assert [len(tokens) for tokens in answers(collected, other)] != [0] * 3
    assert engine._scheduler.num_running == engine._scheduler.num_waiting == 0
