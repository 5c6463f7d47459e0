"""Rotary embeddings that change with the length: answers past the trained length are those of ``generate``."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from attendant.bundle import read_manifest
from attendant.core.beams import BeamParams
from attendant.core.frequencies import Frequencies
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.engine.engine import Engine
from attendant.models.generators import load_generator
from attendant.settings import EngineSettings
from attendant_export.decoders.architectures import context_length
from attendant_export.decoders.context import bundle_context
from attendant_export.errors import ExportError
from attendant_export.export import export_model
from transformers import Phi3Config, Phi3ForCausalLM, PhimoeConfig, PhimoeForCausalLM

from tests.bundles import make_llama, make_tokenizer
from tests.engine.helpers import Collected, drain

AFTER, MOST, NUM_TOKENS = 32, 128, 12
KINDS = ("phi3", "phimoe", "dynamic")
FACTORS = {"short_factor": [1.0, 1.1, 1.2, 1.3] * 2, "long_factor": [2.0, 2.5, 3.0, 4.0] * 2}
LONGROPE = {"rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": AFTER, **FACTORS}


def make(kind: str) -> Any:
    if kind == "dynamic":
        rope = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4}
        return make_llama(num_hidden_layers=1, max_position_embeddings=AFTER, rope_parameters=rope)
    fields = {
        **{"vocab_size": make_tokenizer().get_vocab_size(), "hidden_size": 64, "num_hidden_layers": 1},
        **{"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64, "initializer_range": 0.2},
        **{"max_position_embeddings": MOST, "original_max_position_embeddings": AFTER},
        **{"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if kind == "phi3":
            model = Phi3ForCausalLM(Phi3Config(**fields, rope_parameters=LONGROPE))
        else:
            scales = {"short_mscale": 1.1, "long_mscale": 1.3}
            rope = {**LONGROPE, **scales}
            model = PhimoeForCausalLM(PhimoeConfig(**fields, rope_parameters=rope, num_local_experts=2))
    model.set_attn_implementation("eager")
    return model.eval()


@pytest.fixture(scope="module", params=KINDS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    out = tmp_path_factory.mktemp("bundles") / request.param
    model = make(request.param)
    export_model(model, make_tokenizer().to_str(), out, name=request.param)
    return model, out


def engine_of(out: Path, **changes: Any) -> Engine:
    chosen = EngineSettings(
        **{"max_num_seqs": 4, "max_num_batched_tokens": 24, "threads": 2, "spinning": False, **changes}
    )
    return load_generator(out, read_manifest(out), chosen, verify=False).engines[0]


def prompt(length: int) -> list[int]:
    return torch.randint(3, 280, (200,), generator=torch.Generator().manual_seed(1))[:length].tolist()


def generated(model: Any, ids: list[int], num_tokens: int, **more: Any) -> list[int]:
    fresh = copy.deepcopy(model)  # a dynamic module remembers the longest sequence it has seen
    given = torch.tensor([ids])
    limits = {"max_new_tokens": num_tokens, "min_new_tokens": num_tokens, "do_sample": False, **more}
    answer: list[int] = fresh.generate(given, attention_mask=torch.ones_like(given), **limits)[0, len(ids) :].tolist()
    return answer


def request_of(name: str, ids: list[int], num_tokens: int, beams: int = 1) -> Request:
    params = SamplingParams(max_tokens=num_tokens, min_tokens=num_tokens)
    search = BeamParams(beams) if beams > 1 else None
    return Request(name, tuple(ids), params, time.monotonic_ns(), beams=search, hypotheses=(name,) if search else ())


def test_the_context_is_the_extended_one(served: tuple[Any, Path]) -> None:
    manifest = read_manifest(served[1])
    assert manifest.context_length == MOST
    assert manifest.frequencies is not None
    assert manifest.frequencies.after == AFTER
    assert manifest.parity.cases[-1].name == "beyond"


def test_answers_within_across_and_beyond_the_trained_length(served: tuple[Any, Path]) -> None:
    """One after another, and all at once, with prompts that share their beginnings."""
    model, out = served
    lengths = (5, AFTER - 6, AFTER, AFTER + 1, 50, 100)
    wanted = {length: generated(model, prompt(length), NUM_TOKENS) for length in lengths}
    engine = engine_of(out)
    for length in (*lengths, *reversed(lengths)):  # the second time there is something in the prefix cache
        engine.submit(request_of(f"r{length}", prompt(length), NUM_TOKENS))
        assert drain(engine).answer(f"r{length}")[0] == wanted[length], length
    for length in lengths:
        engine.submit(request_of(f"r{length}", prompt(length), NUM_TOKENS))
    together = drain(engine)
    assert {length: together.answer(f"r{length}")[0] for length in lengths} == wanted


def test_scarce_memory_changes_nothing(served: tuple[Any, Path]) -> None:
    model, out = served
    engine = engine_of(out, kv_memory=int(1.3 * MOST) * read_manifest(out).kv_bytes_per_token())
    lengths = (AFTER - 4, AFTER - 8, 60, 70)
    collected = Collected()
    for length in lengths:
        engine.submit(request_of(f"r{length}", prompt(length), 20))
        collected.take(engine.step().events)
    drain(engine, collected)
    for length in lengths:
        assert collected.answer(f"r{length}")[0] == generated(model, prompt(length), 20), length


def test_beams_cross_the_trained_length(served: tuple[Any, Path]) -> None:
    model, out = served
    engine = engine_of(out)
    engine.submit(request_of("b", prompt(AFTER - 3), 8, beams=3))
    found = drain(engine).answer("b")[0]
    assert found == generated(model, prompt(AFTER - 3), 8, num_beams=3)


def test_shifts() -> None:
    two, each = Frequencies("two", 32), Frequencies("each", 32)
    assert [two.shift(10, n, 5) for n in (10, 32, 33)] == [0, 0, 32]
    assert [two.begins_anew(n) for n in (32, 33, 34)] == [False, True, False]
    assert [each.shift(10, 40, start) >> 32 for start in (0, 31, 32, 39)] == [0, 0, 33, 40]
    assert each.shift(50, 60, 3) == 50 << 32
    assert not each.begins_anew(33)


def test_scalings_extend_the_context() -> None:
    def length(**rope: Any) -> int:
        return context_length(make_llama(num_hidden_layers=1, max_position_embeddings=64, rope_parameters=rope))

    assert length(rope_type="yarn", factor=4.0, original_max_position_embeddings=64, rope_theta=1e4) == 256
    assert length(rope_type="yarn", factor=4.0, original_max_position_embeddings=16, rope_theta=1e4) == 64
    assert length(rope_type="linear", factor=3.0, rope_theta=1e4) == 192
    assert length(rope_type="default", rope_theta=1e4) == 64
    llama3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16}
    assert length(rope_type="llama3", factor=8.0, rope_theta=1e4, **llama3) == 64
    assert context_length(make("phi3")) == MOST
    assert context_length(make("phi3"), "cuda") == AFTER


def test_a_context_may_be_shorter_but_not_longer(tmp_path: Path) -> None:
    model = make("phi3")
    with pytest.raises(ExportError, match=r"--context-length is 500; this model takes at most 128"):
        export_model(model, make_tokenizer().to_str(), tmp_path / "b", context_length=500)
    for asked, changes in ((AFTER, False), (AFTER + 1, True)):
        context = bundle_context(model, "cpu", asked)
        assert context.length == asked
        assert (context.changing is not None) == changes
        assert context.warnings == ()
    (told,) = bundle_context(model, "cuda").warnings
    assert told.startswith("the context ends at 32 tokens, the length that the model was trained at")
