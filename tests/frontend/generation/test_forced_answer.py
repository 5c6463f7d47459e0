"""An answer that is given: it comes as it is, with the log-probabilities that generating it would have had."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from attendant.core.errors import InvalidRequest
from attendant.core.events import TokenLogprob
from attendant.core.generation import BeamCall, Delta, Finish, GenerationCall, TextPrompt
from attendant.core.request import FinishReason
from attendant.demo import demo_bundle
from attendant.frontend.generation.service import GenerationService

from tests.frontend.generation.helpers import call, collect, with_service
from tests.synthetic import EOS, make_synthetic_bundle

TRANSLATOR = demo_bundle().parent / "translator"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_synthetic_bundle(tmp_path_factory.mktemp("b") / "m", eos_bias=-50, context_length=64)


async def answered(service: GenerationService, asked: GenerationCall) -> tuple[list[TokenLogprob], str, Finish]:
    """Log-probabilities, text and end of the only sequence."""
    entries: list[TokenLogprob] = []
    text = ""
    async for part in service.generate(asked):
        if isinstance(part, Delta):
            assert [entry.token_id for entry in part.logprobs] == list(part.token_ids)
            entries += part.logprobs
            text += part.text
        else:
            end = part
    return entries, text, end


def forced(asked: GenerationCall, entries: list[TokenLogprob], **fields: Any) -> GenerationCall:
    ids = tuple([entry.token_id for entry in entries])
    return GenerationCall("", asked.prompt, logprobs=2, forced_answer=ids, translation=asked.translation, **fields)


@pytest.mark.parametrize("choice", [{}, {"temperature": 1.5, "seed": 3}, {"logit_bias": {70: 9.0}}])
def test_its_logprobs_are_those_of_generating_it(bundle: Path, choice: dict[str, Any]) -> None:
    async def test(service: GenerationService) -> None:
        asked = call("which way", 20, logprobs=2, **choice)
        entries, text, _ = await answered(service, asked)
        assert len(entries) == 20
        again, same_text, end = await answered(service, forced(asked, entries))
        assert (again, same_text) == (entries, text)  # to the bit
        assert end.reason is FinishReason.LENGTH
        assert end.usage.completion_tokens == 20

    assert with_service(bundle, test) == []


def test_one_that_the_model_would_not_give_has_the_probability_of_its_alternatives(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        asked = call("which way", 1, logprobs=60)
        (first,), _, _ = await answered(service, asked)
        for token, logprob in first.top[1::20]:
            (entry,), _, _ = await answered(service, replace(forced(asked, []), forced_answer=(token,)))
            assert (entry.token_id, entry.logprob) == (token, logprob)

    assert with_service(bundle, test) == []


def test_it_ends_by_what_its_last_token_is(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        given = replace(forced(call(), []), forced_answer=(70, 71, EOS))
        entries, _, end = await answered(service, given)
        assert [entry.token_id for entry in entries] == [70, 71]
        assert (end.reason, end.stop_token_id, end.usage.completion_tokens) == (FinishReason.STOP, EOS, 3)
        entries, _, end = await answered(service, replace(given, forced_answer=(70, EOS, 71, EOS), ignore_eos=True))
        assert [entry.token_id for entry in entries] == [70, EOS, 71, EOS]
        assert (end.reason, end.stop_token_id) == (FinishReason.LENGTH, None)

    assert with_service(bundle, test) == []


def test_an_encoder_decoder_scores_what_it_would_say() -> None:
    async def test(service: GenerationService) -> None:
        asked = GenerationCall("", TextPrompt("Where is the station?"), logprobs=2)
        entries, text, end = await answered(service, asked)
        assert text == "Où est la gare ?"
        again, same_text, _ = await answered(service, forced(asked, entries))
        assert (again, same_text) == (entries, text)
        whole = replace(forced(asked, entries), forced_answer=(*[e.token_id for e in entries], end.stop_token_id or 0))
        _, _, same_end = await answered(service, whole)
        assert (same_end.reason, same_end.usage) == (end.reason, end.usage)

    assert with_service(TRANSLATOR, test) == []


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("forced_answer", {"forced_answer": ()}),
        ("forced_answer", {"forced_answer": (70,) * 60}),
        ("forced_answer", {"forced_answer": (70, 10**6)}),
        ("forced_answer[1]", {"forced_answer": (70, EOS, 71)}),
        ("n", {"n": 2}),
        ("beam_search", {"beam_search": BeamCall(2)}),
        ("max_tokens", {"max_tokens": 3}),
        ("min_tokens", {"min_tokens": 1}),
        ("stop", {"stop": ("x",)}),
        ("stop_token_ids", {"stop_token_ids": (9,)}),
        ("temperature", {"temperature": 0.5}),
        ("forced_last", {"forced_last": (9,)}),
        ("bad_words", {"bad_words": ((70, 71),)}),
        ("bad_phrases", {"bad_phrases": ("a",)}),
    ],
)
def test_what_cannot_be_is_refused(bundle: Path, field: str, fields: dict[str, Any]) -> None:
    async def test(service: GenerationService) -> None:
        asked = replace(forced(call("hello"), []), **{"forced_answer": (70, 71)} | fields)
        with pytest.raises(InvalidRequest) as caught:
            await collect(service, asked)
        assert caught.value.field == field

    assert with_service(bundle, test) == []
