"""An answer that goes on: whatever was received of it, the rest is what would have come without a break."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from attendant.core.errors import InvalidRequest
from attendant.core.events import TokenLogprob
from attendant.core.generation import BeamCall, Finish, GenerationCall, Resume, TextPrompt
from attendant.core.grammar import Grammar
from attendant.core.request import FinishReason, Timings
from attendant.demo import demo_bundle
from attendant.frontend.generation.service import GenerationService

from tests.frontend.generation.helpers import call, num_active, wait_until, with_service
from tests.synthetic import EOS, make_synthetic_bundle

TRANSLATOR = demo_bundle().parent / "translator"
SCHEMA = (
    '{"type": "object", "properties": {"a": {"enum": ["x", "y"]}}, "required": ["a"], "additionalProperties": false}'
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_synthetic_bundle(tmp_path_factory.mktemp("b") / "m", eos_bias=-50, context_length=96)


@dataclass
class Heard:
    """What came of one sequence: with each token what came together with it, and what came after the last.

    ``cuts``: how many tokens had come after each part, as a part may have several.
    """

    tokens: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    rest: str = ""
    cuts: list[int] = field(default_factory=lambda: [0])
    end: Finish | None = None

    def after(self, count: int) -> tuple[Any, ...]:
        """All that came after so many tokens, but for times and what was found in the cache."""
        assert self.end is not None
        end = replace(self.end, timings=Timings(), usage=replace(self.end.usage, cached_tokens=0))
        return (
            self.tokens[count:],
            "".join(self.texts[count:]) + self.rest,
            "".join(self.reasoning[count:]),
            self.logprobs[count:],
            end,
        )


async def heard(service: GenerationService, asked: GenerationCall) -> dict[int, Heard]:
    """Every sequence of a call."""
    found: dict[int, Heard] = {}
    async for part in service.generate(asked):
        sequence = found.setdefault(part.index, Heard())
        if isinstance(part, Finish):
            sequence.end = part
            continue
        sequence.logprobs += part.logprobs
        if not part.token_ids:
            sequence.rest += part.text
            continue
        sequence.tokens += part.token_ids
        sequence.texts += ["" for _ in part.token_ids[1:]] + [part.text]
        sequence.reasoning += ["" for _ in part.token_ids[1:]] + [part.reasoning]
        sequence.cuts.append(len(sequence.tokens))
    return found


async def goes_on(service: GenerationService, asked: GenerationCall, *, rounds: bool = False) -> None:
    """Whatever was received of each sequence of a call, the rest is the rest. ``rounds``: log-probabilities may differ
    in their last bits."""
    whole = await heard(service, asked)
    assert len(whole) == asked.n
    for index, sequence in whole.items():
        for count in sequence.cuts:
            resumed = replace(asked, n=1, resume=Resume(tuple(sequence.tokens[:count]), index))
            again = await heard(service, resumed)
            assert set(again) == {index}
            rest = again[index]
            if rounds:
                found, wanted = ([entry.logprob for entry in of] for of in (rest.logprobs, sequence.logprobs[count:]))
                assert found == pytest.approx(wanted, abs=1e-4)
                rest.logprobs = sequence.logprobs[count:]
            assert rest.after(0) == sequence.after(count), count


CHOICES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "drawn": {"temperature": 1.5, "seed": 3, "logprobs": 2},
    "three": {"temperature": 1.2, "seed": 2**63 + 5, "n": 3, "logprobs": 0},
    "penalties": {"repetition_penalty": 1.3, "presence_penalty": 0.5, "frequency_penalty": 0.4, "min_tokens": 9},
    "ngrams": {"no_repeat_ngram_size": 2, "temperature": 0.9, "seed": 1, "top_p": 0.9},
    "a grammar": {"grammar": Grammar("json_schema", SCHEMA)},
    "a regex": {"grammar": Grammar("regex", "[a-c]{3,9}"), "temperature": 1.0, "seed": 8},
    "a last token": {"forced_last": (77,), "length_decay": (3, 1.2)},
    "receipts": {"receipt": True, "temperature": 1.0, "seed": 8},
}


@pytest.mark.parametrize("choice", CHOICES)
def test_the_rest_is_what_would_have_come(bundle: Path, choice: str) -> None:
    async def test(service: GenerationService) -> None:
        await goes_on(service, call("which way", 14, **CHOICES[choice]))

    assert with_service(bundle, test) == []


def test_stop_strings_that_have_begun_or_come_are_found(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        (plain,) = (await heard(service, call("which way", 14))).values()
        text = "".join(plain.texts)
        for stop in (text[4:6], text[6:9], text[3:] + "?"):
            await goes_on(service, call("which way", 14, stop=(stop,)))

    assert with_service(bundle, test) == []


def test_in_pages(paged_bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        await goes_on(service, call("which way is it", 20, logprobs=1), rounds=True)
        await goes_on(service, call("which way is it", 20, temperature=1.0, seed=4, n=2), rounds=True)

    assert with_service(paged_bundle, test) == []


def test_of_the_demo_model_with_characters_of_several_tokens() -> None:
    async def test(service: GenerationService) -> None:
        await goes_on(service, call("Wo ist mein Päckchen?", 12, temperature=1.6, seed=11, logprobs=0))

    assert with_service(demo_bundle(), test) == []


def test_of_an_encoder_decoder() -> None:
    async def test(service: GenerationService) -> None:
        said = TextPrompt("Where is the station?")
        await goes_on(service, GenerationCall("", said, beam_search=BeamCall(1)))
        await goes_on(service, GenerationCall("", said, temperature=1.3, seed=5, max_tokens=10))

    assert with_service(TRANSLATOR, test) == []


def test_one_that_comes_as_a_whole_has_the_rest(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        (whole,) = (await heard(service, call("which way", 14))).values()
        cut = whole.cuts[1]
        asked = call("which way", 14, whole=True, resume=Resume(tuple(whole.tokens[:cut])))
        (rest,) = (await heard(service, asked)).values()
        assert rest.tokens == whole.tokens[cut:]
        assert "".join(rest.texts) + rest.rest == "".join(whole.texts[cut:]) + whole.rest

    assert with_service(bundle, test) == []


def test_the_context_is_its_end_as_before(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        asked = call("which way", None)
        (whole,) = (await heard(service, asked)).values()
        for count in whole.cuts[-2:]:
            (rest,) = (await heard(service, replace(asked, resume=Resume(tuple(whole.tokens[:count]))))).values()
            assert rest.after(0) == whole.after(count)
            assert rest.end is not None
            assert rest.end.reason is FinishReason.LENGTH

    assert with_service(bundle, test) == []


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "no seed": ({"temperature": 1.0}, "seed", "the one that the answer began with"),
    "several": ({"n": 2}, "n", "resume.index"),
    "no such sequence": ({"resume": Resume((70,), 10_000)}, "resume.index", "10000"),
    "beams": ({"beam_search": BeamCall(3)}, "resume", "3 beams"),
    "given": ({"max_tokens": None, "forced_answer": (70, 71)}, "resume", "forced_answer gives it"),
    "too much": ({"max_tokens": 2, "resume": Resume((70, 71, 72))}, "resume.token_ids", "3 tokens"),
    "no token": ({"resume": Resume((70, 10**6))}, "resume.token_ids", "1000000"),
    "an end": ({"resume": Resume((70, EOS, 71))}, "resume.token_ids[1]", "ends an answer"),
    "a stop token": ({"stop_token_ids": (71,), "resume": Resume((70, 71))}, "resume.token_ids[1]", "ends an answer"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_go_on_is_refused(bundle: Path, case: str) -> None:
    fields, name, reason = REFUSED[case]

    async def test(service: GenerationService) -> None:
        asked = call("which way", **{"resume": Resume((70,)), **fields})
        with pytest.raises(InvalidRequest) as refused:
            await heard(service, asked)
        assert refused.value.field == name
        assert reason in str(refused.value)
        assert num_active(service) == 0

    assert with_service(bundle, test) == []


def test_one_that_is_left_gives_its_place_back(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        asked = call("which way", 60, resume=Resume((70,) * 40))
        parts = service.generate(asked)
        await anext(parts)
        await parts.aclose()
        await wait_until(lambda: num_active(service) == 0)

    assert with_service(bundle, test) == []
