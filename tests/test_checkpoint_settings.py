"""Settings of generation_config.json, as a bundle has them, give the answers that ``generate`` gives with them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from attendant.bundle import GeneratorManifest, read_manifest
from attendant.core.errors import InvalidRequest
from attendant.core.generation import BeamCall, GenerationCall, TokenPrompt
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.frontend.generation.call_settings import call_settings
from attendant.frontend.generation.params import beam_params, sampling_params
from attendant.frontend.generation.prompts import Prepared
from attendant.models.generators import GeneratorPart, load_generator
from attendant.settings import EngineSettings
from attendant_export.settings import generation_defaults

from tests.bundles import make_llama, make_llama_bundle
from tests.engine.helpers import drain

NUM_TOKENS = 10
PROMPTS = (
    [5],
    [17, 30, 31, 17, 30],
    [44, 45, 46, 44, 45, 46, 44, 250, 17],
    [44, 45, 46, 44, 45, 46, 44, 250, 17, 249, 223, 77, 168],
)
CASES: dict[str, dict[str, Any]] = {
    "suppress": {"suppress_tokens": [*range(100, 280), 5000, -1]},
    "begin": {"begin_suppress_tokens": list(range(20, 290))},
    "begin after forced": {"begin_suppress_tokens": list(range(20, 290)), "forced_bos_token_id": 7},
    "bad words": {
        "bad_words_ids": [[77, 168], [107, 94, 94], [137, 99], [275], [2], *([token, 231] for token in range(300))]
    },
    "ngrams": {"no_repeat_ngram_size": 2},
    "no token twice": {"no_repeat_ngram_size": 1},
    "ngrams of the prompt": {"encoder_no_repeat_ngram_size": 1},
    "more of the prompt": {"encoder_repetition_penalty": 3.0, "repetition_penalty": 1.2},
    "less of the prompt": {"encoder_repetition_penalty": 0.5},
    "biases": {"sequence_bias": [[[44], 5.0], [[44, 45], -20.0], [[17, 30, 31], 9.5], [[120], 3.5]]},
    "forced": {"forced_bos_token_id": 9, "forced_eos_token_id": [270, 2]},
    "greatest length": {"max_length": 20},
    "greatest length, forced": {"max_length": 20, "forced_eos_token_id": 2},
    "new tokens": {"max_length": 100, "max_new_tokens": 4},
    "least length": {"min_length": 9, "eos_token_id": list(range(2, 150))},
    "least new tokens": {"min_new_tokens": 3, "min_length": 12, "eos_token_id": list(range(2, 150))},
    "decay": {"exponential_decay_length_penalty": [2, 1.5], "eos_token_id": [2, 40]},
    "decay of ends": {"exponential_decay_length_penalty": [0, 0.9], "eos_token_id": list(range(2, 150))},
    "beams": {"num_beams": 3, "length_penalty": -1.0, "early_stopping": True, "eos_token_id": list(range(2, 60))},
    "beams and rules": {
        **{"num_beams": 3, "renormalize_logits": True, "suppress_tokens": list(range(50, 120))},
        **{"sequence_bias": [[[44, 45], -20.0], [[160], 2.5]], "bad_words_ids": [[200, 201], [210]]},
    },
}


@pytest.fixture(scope="module")
def model() -> Any:
    return make_llama(num_hidden_layers=1)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> GeneratorPart:
    out = make_llama_bundle(tmp_path_factory.mktemp("bundles") / "llama", "fp32", num_hidden_layers=1)
    chosen = EngineSettings(max_num_seqs=6, threads=2, spinning=False)
    return load_generator(out, read_manifest(out), chosen, verify=False)


@contextmanager
def checkpoint(model: Any, settings: dict[str, Any]) -> Iterator[None]:
    """The model as if its generation_config.json had ``settings``."""
    before = model.generation_config
    model.generation_config = type(before)(**{**{"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}, **settings})
    try:
        yield
    finally:
        model.generation_config = before


def served(loaded: GeneratorPart, model: Any, call: GenerationCall) -> list[list[int]]:
    """Answers of a server whose bundle was exported of ``model``, the tokens that end them included."""
    assert isinstance(call.prompt, TokenPrompt)
    manifest = manifest_of(loaded, model)
    loaded, prepared = replace(loaded, manifest=manifest), Prepared(call.prompt.token_ids)
    settings = call_settings(call, manifest)
    params = sampling_params(call, settings, loaded, prepared)
    beams = beam_params(call, settings, loaded.engines[0].facts("an engine"), params, prepared)
    ends = tuple(set(manifest.special_tokens.eos) - {2})  # the engine has that of its own bundle
    params = replace(params, stop_token_ids=(*params.stop_token_ids, *ends))
    request = Request("r", prepared.prompt, params, time.monotonic_ns(), beams=beams, hypotheses=("r",))
    engine = loaded.engines[0]
    engine.submit(request)
    tokens, _, stop_token = drain(engine).answer("r")
    return [tokens if stop_token is None else [*tokens, stop_token]]


def manifest_of(loaded: GeneratorPart, model: Any) -> GeneratorManifest:
    ends = model.generation_config.eos_token_id
    special = loaded.manifest.special_tokens.model_copy(
        update={"eos": tuple(ends) if isinstance(ends, list) else (ends,)}
    )
    update = {"generation_defaults": generation_defaults(model), "special_tokens": special}
    return GeneratorManifest.model_validate(loaded.manifest.model_dump() | update)


def generated(model: Any, prompt: list[int], max_new_tokens: int | None) -> list[list[int]]:
    limit = {} if max_new_tokens is None else {"max_new_tokens": max_new_tokens}
    ids = torch.tensor([prompt])
    output = model.generate(ids, attention_mask=torch.ones_like(ids), **limit)
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    (row,) = output[:, len(prompt) :].tolist()
    end = next((i for i, token in enumerate(row) if token in ends), len(row) - 1)
    return [row[: end + 1]]


@pytest.mark.parametrize("name", CASES)
def test_answers_are_those_of_generate(loaded: GeneratorPart, model: Any, name: str) -> None:
    limited = {"max_length", "max_new_tokens"} & set(CASES[name])
    limit = None if limited else NUM_TOKENS
    with checkpoint(model, CASES[name]):
        for prompt in PROMPTS:
            call = GenerationCall("", TokenPrompt(tuple(prompt)), max_tokens=limit)
            assert served(loaded, model, call) == generated(model, prompt, limit), prompt


def test_every_setting_matters(model: Any) -> None:
    """Each case changes an answer: that they agree means something."""
    with checkpoint(model, {}):
        plain = [generated(model, prompt, NUM_TOKENS) for prompt in PROMPTS]
    for name, case in CASES.items():
        with checkpoint(model, case):
            limit = None if {"max_length", "max_new_tokens"} & set(case) else NUM_TOKENS
            assert [generated(model, prompt, limit) for prompt in PROMPTS] != plain, name


def test_a_call_sets_what_a_default_can(loaded: GeneratorPart, model: Any) -> None:
    prompt = TokenPrompt(tuple(PROMPTS[0]))
    asked: dict[str, dict[str, Any]] = {
        "suppress": {"suppress_tokens": tuple(range(100, 280))},
        "begin": {"begin_suppress_tokens": tuple(range(20, 290))},
        "bad words": {"bad_words": tuple(tuple(word) for word in CASES["bad words"]["bad_words_ids"] if word != [2])},
        "biases": {"sequence_bias": tuple((tuple(t), b) for t, b in CASES["biases"]["sequence_bias"])},
        "forced": {"forced_first": (9,), "forced_last": (2,)},
        "ngrams of the prompt": {"encoder_no_repeat_ngram_size": 1},
        "decay": {"length_decay": (2, 1.5)},
        "beams": {"beam_search": BeamCall(3, -1.0, "first")},
    }
    for name, fields in asked.items():
        call = GenerationCall("", prompt, max_tokens=NUM_TOKENS, **fields)
        with checkpoint(model, {"eos_token_id": CASES[name].get("eos_token_id", 2)}):
            found = served(loaded, model, call)
        with checkpoint(model, CASES[name]):
            assert found == generated(model, PROMPTS[0], NUM_TOKENS), name


def test_a_call_turns_defaults_off(loaded: GeneratorPart, model: Any) -> None:
    with checkpoint(model, {}):
        plain = generated(model, PROMPTS[1], NUM_TOKENS)
    for name in ("suppress", "begin", "bad words", "biases", "ngrams", "beams and rules"):
        with checkpoint(model, CASES[name]):
            call = GenerationCall("", TokenPrompt(tuple(PROMPTS[1])), max_tokens=NUM_TOKENS, no_default_settings=True)
            assert served(loaded, model, call) == plain, name
    with checkpoint(model, CASES["suppress"]):
        call = GenerationCall("", TokenPrompt(tuple(PROMPTS[1])), max_tokens=NUM_TOKENS, suppress_tokens=())
        assert served(loaded, model, call) == plain


def test_a_prompt_that_fills_the_greatest_length_is_refused(loaded: GeneratorPart, model: Any) -> None:
    with checkpoint(model, {"max_length": 5}):
        assert served(loaded, model, GenerationCall("", TokenPrompt((5, 6)), max_tokens=9))
        with pytest.raises(InvalidRequest, match=r"^max_tokens is missing, and a prompt of 5 tokens"):
            served(loaded, model, GenerationCall("", TokenPrompt((5, 6, 7, 8, 9))))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"suppress_tokens": (5000,)}, "suppress_tokens has 5000; allowed: 0 to"),
        ({"bad_words": ((1, 5000),)}, "bad_words has 5000"),
        ({"sequence_bias": (((5000,), 1.0),)}, "sequence_bias is 5000"),
        ({"sequence_bias": (((5,), float("nan")),)}, "sequence_bias is nan"),
        ({"forced_first": (1, 2)}, "forced_first has 2 tokens; allowed: none or one"),
        ({"forced_last": (5000,)}, "forced_last has 5000"),
        ({"typical_p": 0.0}, "typical_p is 0; allowed: greater than 0, at most 1"),
        ({"eta_cutoff": 2.0}, "eta_cutoff is 2"),
        ({"length_decay": (1, -1.0)}, "length_decay.factor is -1"),
    ],
)
def test_what_a_call_may_not_set(loaded: GeneratorPart, model: Any, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest) as caught, checkpoint(model, {}):
        served(loaded, model, GenerationCall("", TokenPrompt((5,)), **fields))
    assert message in str(caught.value)


def test_what_samples_takes_the_fifty_most_probable(model: Any) -> None:
    with checkpoint(model, {"do_sample": True}):
        assert generation_defaults(model).top_k == 50
        assert generation_defaults(model).temperature == 1
    with checkpoint(model, {"do_sample": True, "top_k": 0, "typical_p": 0.5, "stop_strings": "a", "temperature": 0.5}):
        found = generation_defaults(model)
    assert (found.top_k, found.typical_p, found.stop_strings, found.temperature) == (0, 0.5, ("a",), 0.5)


def test_parameters_tell_what_they_do() -> None:
    assert not SamplingParams(max_tokens=1).needs_all
    assert SamplingParams(max_tokens=1, typical_p=0.5).filters
