"""Decoders whose relatives encode or translate: which they are, where they count from, and that they answer as
transformers' ``generate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attendant_export.decoders.architectures import context_length
from attendant_export.decoders.decoder import trace_decoder
from attendant_export.encoders.tasks import allowed_tasks
from attendant_export.errors import UnsupportedModel
from attendant_export.prompts import sample_prompts
from attendant_export.source.parts import causal_class
from attendant_export.tracing.attention import MaskSpec
from attendant_export.tracing.positions import reserved_positions

from tests.export.architectures import build
from tests.export.measure import Subject
from tests.export.relatives import RELATIVES
from tests.export.shapes import CONTEXT, VOCAB

_STEPS = 10
_PROMPTS = (17, 5)


@pytest.mark.parametrize("name", ["roberta", "bart", "roformer"])
def test_answers_are_those_of_generate(name: str, tmp_path: Path) -> None:
    model = build(name)
    prompts = [np.random.default_rng(row).integers(3, VOCAB, length) for row, length in enumerate(_PROMPTS)]

    session = Subject(model, tmp_path).session(slots=2)
    answers = [
        [int(session.run(slice(row, row + 1), prompt[None], [0]).argmax(-1)[-1])] for row, prompt in enumerate(prompts)
    ]
    for step in range(_STEPS - 1):
        tokens = np.array([[answer[-1]] for answer in answers])
        logits = session.run(slice(0, 2), tokens, [len(prompt) + step for prompt in prompts])
        for answer, row in zip(answers, logits, strict=True):
            answer.append(int(row.argmax()))

    assert answers == [_generated(model, prompt) for prompt in prompts]


def _generated(model: Any, prompt: np.ndarray) -> list[int]:
    """``generate`` of transformers counts positions from 0 unless it is told; these models were trained from where
    their own ``forward`` begins."""
    ids = torch.from_numpy(prompt)[None]
    first = reserved_positions(model)
    told = {"position_ids": torch.arange(first, first + len(prompt))[None]} if first else {}
    found = model.generate(
        ids, **told, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=_STEPS, eos_token_id=None
    )
    return list(map(int, found[0, len(prompt) :]))


@pytest.mark.parametrize(("name", "context"), [("roberta", CONTEXT), ("bert", CONTEXT), ("big_bird", 15 * 8)])
def test_context_is_what_the_position_table_and_whole_attention_leave(name: str, context: int) -> None:
    assert context_length(build(name)) == context


def test_prompts_of_a_verification_have_no_token_that_torch_would_not_count() -> None:
    model = build("roberta")
    model.config.pad_token_id = int(sample_prompts(build("bert"), (), CONTEXT, None)[0][3])

    rows = sample_prompts(model, (), CONTEXT, None)
    assert all(model.config.pad_token_id not in row for row in rows)
    assert all(row.max() < VOCAB for row in rows)


def test_a_context_that_ends_with_whole_attention_is_told() -> None:
    from attendant_export.decoders.context import bundle_context

    found = bundle_context(build("llama4_text"), "cpu")
    assert found.length == 64
    assert "ends at 64 tokens" in found.warnings[0]


def test_an_encoder_in_the_class_of_a_decoder_is_told_apart() -> None:
    from transformers import AutoModelForCausalLM, RobertaConfig

    config = RobertaConfig(**{**RELATIVES["roberta"], "is_decoder": False})
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with pytest.raises(UnsupportedModel, match=r"tokens look at those after them, too .*is_decoder true"):
        trace_decoder(model, CONTEXT)


def test_a_model_of_many_languages_has_to_say_which_is_its_own() -> None:
    from transformers import AutoModelForCausalLM, XmodConfig

    config = XmodConfig(**{**RELATIVES["xmod"], "default_language": None})
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with pytest.raises(UnsupportedModel, match=r"config\.json has no default_language"):
        trace_decoder(model, CONTEXT)


@pytest.mark.parametrize(
    ("model_type", "name", "task"),
    [
        ("roberta", "RobertaForCausalLM", "generate"),
        ("roberta", "RobertaForMaskedLM", "fill_mask"),
        ("bert", "BertLMHeadModel", "generate"),
        ("bert-generation", "BertGenerationDecoder", "generate"),
        ("bart", "BartForCausalLM", "generate"),
    ],
)
def test_class_of_a_folder_says_whether_it_continues_texts(model_type: str, name: str, task: str) -> None:
    config = {"model_type": model_type, "architectures": [name]}
    assert allowed_tasks(config, is_sentence_model=False)[0] == task


@pytest.mark.parametrize(
    ("model_type", "name", "loaded_by"),
    [
        ("emu3_text_model", "Emu3ForCausalLM", "Emu3ForCausalLM"),
        ("roberta", "RobertaForCausalLM", "AutoModelForCausalLM"),
        ("emu3_text_model", "Emu3Model", "AutoModelForCausalLM"),
    ],
)
def test_class_that_no_type_of_config_leads_to_is_found_by_its_name(model_type: str, name: str, loaded_by: str) -> None:
    assert causal_class({"model_type": model_type, "architectures": [name]}) == loaded_by


@pytest.mark.parametrize("read", [lambda mask: mask + 1, lambda mask: 1 - mask, lambda mask: mask.dtype])
def test_a_model_that_computes_with_its_mask_is_told_so(read: Any) -> None:
    with pytest.raises(AttributeError, match="computes with its attention mask itself"):
        read(MaskSpec(frozenset({"causal_mask_function"})))
