"""Encoder-decoders through the engine: answers equal transformers' ``generate``, greedy and with beams, whoever else is
being served."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attendant.core.errors import InvalidRequest
from attendant.core.generation import BeamCall, Delta, Finish, GenerationCall, SourcePrompt, TokenPrompt, Translation
from attendant.core.source import Source
from attendant.frontend.generation.service import GenerationService
from transformers import GenerationMixin

from tests.export import seq2seq_doc
from tests.export.seq2seq_families import FAMILIES
from tests.export.seq2seq_measure import Subject
from tests.frontend.generation.helpers import load, with_model

NEW_TOKENS = 12
SETTINGS = {"max_num_seqs": 10, "max_queue": 64, "threads": 2}
BEAMS: list[dict[str, Any]] = [
    {"num_beams": 1},
    {"num_beams": 2, "num_return_sequences": 2},
    {"num_beams": 4, "length_penalty": 2.0, "early_stopping": True, "no_repeat_ngram_size": 2},
    {"num_beams": 3, "length_penalty": 0.5, "early_stopping": "never", "num_return_sequences": 3},
]
STOPPING = {True: "first", False: "heuristic", "never": "never"}


@pytest.mark.parametrize("name", FAMILIES)
def test_family(name: str, tmp_path: Path) -> None:
    """One export for all checks."""
    assert seq2seq_doc.read()[name].beams, "the document says what is checked here"
    subject = Subject(name, tmp_path / name)
    check_answers_equal_those_of_generate(subject)
    check_answers_survive_scarce_memory(subject)
    if subject.manifest.speech is None:
        check_a_prompt_longer_than_its_source(subject)
        check_a_source_beyond_the_limit_is_refused(subject)


def generated(subject: Subject, index: int, case: dict[str, Any]) -> list[list[int]]:
    """What follows the prompt in each answer of transformers' ``generate``, its last token included."""
    row = torch.from_numpy(subject.rows[index])[None]
    given: dict[str, Any] = {"decoder_input_ids": torch.tensor([subject.prompt])}
    if subject.manifest.speech is None:
        given["attention_mask"] = torch.ones_like(row)
    if subject.forced_first is not None:
        given["forced_bos_token_id"] = subject.forced_first
    case = {"early_stopping": False, "length_penalty": 1.0, "no_repeat_ngram_size": 0} | case
    output = GenerationMixin.generate(
        subject.model, row, max_new_tokens=NEW_TOKENS, max_length=None, do_sample=False, **case, **given
    )
    eos = subject.manifest.special_tokens.eos
    answers = []
    for tokens in output[:, len(subject.prompt) :].tolist():
        end = next((i for i, token in enumerate(tokens) if token in eos), len(tokens) - 1)
        answers.append(tokens[: end + 1])
    return answers


def call_of(subject: Subject, index: int, case: dict[str, Any]) -> GenerationCall:
    row, manifest = subject.rows[index], subject.manifest
    prompt: Any = TokenPrompt(tuple(row.tolist()))
    translation = None
    if manifest.speech is not None:
        assert manifest.encoder_input is not None
        prompt = SourcePrompt(Source({"input_features": row}, manifest.encoder_input.max_length), tuple(subject.prompt))
    elif manifest.languages is not None:
        first = (
            next(
                code
                for code, token in manifest.languages.tokens.items()
                if token in (subject.forced_first, subject.prompt[-1])
            )
            if manifest.languages.target != "source"
            else next(iter(manifest.languages.tokens))
        )
        translation = Translation(target_language=first)
    beams = BeamCall(
        case["num_beams"],
        case.get("length_penalty", 1.0),
        STOPPING[case.get("early_stopping", False)],  # type: ignore[arg-type]
    )
    return GenerationCall(
        "",
        prompt,
        max_tokens=NEW_TOKENS,
        n=case.get("num_return_sequences", 1),
        no_repeat_ngram_size=case.get("no_repeat_ngram_size", 0),
        beam_search=beams,
        translation=translation,
    )


async def answers(service: GenerationService, call: GenerationCall) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in range(call.n)]
    async for part in service.generate(call):
        if isinstance(part, Delta):
            found[part.index] += part.token_ids
        elif isinstance(part, Finish) and part.stop_token_id is not None:
            found[part.index].append(part.stop_token_id)
    return found


def check_answers_equal_those_of_generate(subject: Subject) -> None:
    """All sources, greedy and with beams, at once: more than can run together."""
    rows = len(subject.rows)
    asked = [((number + more) % rows, case) for number, case in enumerate(BEAMS) for more in (0, 1)]

    async def test(service: GenerationService) -> None:
        found = await asyncio.gather(*(answers(service, call_of(subject, *one)) for one in asked))
        for one, tokens in zip(asked, found, strict=True):
            assert tokens == generated(subject, *one), one

    model = load(subject.folder, **SETTINGS)
    assert with_model(model, test) == []
    model.engines[0].check()


def check_answers_survive_scarce_memory(subject: Subject) -> None:
    """With memory for little more than one search, everything is preempted and computed again, and nothing changes."""
    manifest = subject.manifest
    assert manifest.encoder_input is not None
    sources = 10 * manifest.encoder_input.max_length * manifest.source_bytes_per_token()
    memory = sources + 5 * 96 * manifest.kv_bytes_per_token()
    asked = [(index % len(subject.rows), BEAMS[index % len(BEAMS)]) for index in range(12)]

    async def test(service: GenerationService) -> None:
        found = await asyncio.gather(*(answers(service, call_of(subject, *one)) for one in asked))
        alone = [await answers(service, call_of(subject, *one)) for one in asked[: len(BEAMS)]]
        assert found[: len(alone)] == alone
        for one, tokens in zip(asked, found, strict=True):
            assert tokens == found[asked.index(one)]

    assert with_model(load(subject.folder, **SETTINGS, kv_memory=memory), test) == []


def check_a_prompt_longer_than_its_source(subject: Subject) -> None:
    """The kernel takes no run of more tokens than the source has positions."""
    prompt = [*subject.prompt, 20, 30, 40, 50]
    ids = np.array([11, 12], np.int64)

    async def test(service: GenerationService) -> None:
        source = Source({"input_ids": ids}, 2)
        call = GenerationCall("", SourcePrompt(source, tuple(prompt)), max_tokens=5, beam_search=BeamCall(1))
        (found,) = await answers(service, call)
        wanted = GenerationMixin.generate(
            subject.model,
            torch.from_numpy(ids)[None],
            attention_mask=torch.ones(1, 2, dtype=torch.long),
            decoder_input_ids=torch.tensor([prompt]),
            max_new_tokens=5,
            max_length=None,
            do_sample=False,
            num_beams=1,
            no_repeat_ngram_size=0,
            early_stopping=False,
            forced_bos_token_id=None,
        )[0].tolist()[len(prompt) :]
        assert found == wanted[: len(found)]
        assert len(found) > 0

    with_model(load(subject.folder, **SETTINGS), test)


def check_a_source_beyond_the_limit_is_refused(subject: Subject) -> None:

    asked = replace(call_of(subject, 0, BEAMS[0]), n=1)

    async def test(service: GenerationService) -> None:
        for tokens, words in ((97, "has 97 tokens; allowed: at most 96"), (0, "has no tokens")):
            with pytest.raises(InvalidRequest, match=words):
                await answers(service, replace(asked, prompt=TokenPrompt((7,) * tokens)))

    with_model(load(subject.folder, **SETTINGS), test)
