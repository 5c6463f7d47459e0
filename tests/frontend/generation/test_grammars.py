"""Structured output through the service: every kind of grammar, with all else that says how an answer goes and ends."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import threading
import weakref
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from attendant.bundle import GenerationDefaults
from attendant.core.errors import InvalidRequest, StepFailed, TooLarge
from attendant.core.generation import BeamCall, Delta, Finish, GenerationCall, Translation
from attendant.core.grammar import Grammar
from attendant.core.request import FinishReason
from attendant.demo import demo_bundle
from attendant.frontend.generation.grammars import Grammars, _Job
from attendant.frontend.generation.service import GenerationService
from attendant.metrics import Metrics
from attendant.settings import GrammarSettings
from attendant.tasks.job_threads import JobThreads
from jsonschema import Draft202012Validator

from tests.frontend.generation.helpers import call, collect, load, wait_until, with_model, with_service
from tests.grammars.hostile import HARMLESS, REFUSED
from tests.synthetic import EOS, byte_tokenizer, make_synthetic_bundle

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"enum": ["Ada", "Eva"]},
        "age": {"type": "integer", "minimum": 1, "maximum": 99},
        "tags": {"type": "array", "items": {"enum": ["x", "y"]}, "maxItems": 3},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
    "x-guidance": {"whitespace_flexible": False},
}
JSON = Grammar("json_schema", json.dumps(SCHEMA))
LETTERS = Grammar("regex", "[a-z]{3,}")
YES = Grammar("choice", choices=("yes",))


def id_of(letter: str) -> int:
    (index,) = byte_tokenizer().encode(letter).ids
    return index


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_synthetic_bundle(tmp_path_factory.mktemp("b") / "m", context_length=512)


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_synthetic_bundle(tmp_path_factory.mktemp("b") / "m", context_length=512, eos_bias=-1e4)


async def answer(service: GenerationService, wanted: GenerationCall) -> tuple[str, Finish]:
    texts, ends = await collect(service, wanted)
    return texts.get(0, ""), ends[0]


def check(text: str) -> None:
    Draft202012Validator(SCHEMA).validate(json.loads(text))


WAYS = {
    "greedy": call("x", 100, grammar=JSON),
    "sampled": call("x", 100, grammar=JSON, temperature=1.5, seed=3),
    "nucleus": call("y", 100, grammar=JSON, temperature=1.0, top_p=0.8, top_k=20, seed=4),
    "logprobs": call("y", 100, grammar=JSON, temperature=1.0, logprobs=2, seed=5),
    "penalties": call("z", 100, grammar=JSON, repetition_penalty=1.3, frequency_penalty=0.5),
    "ignore_eos": call("z", 100, grammar=JSON, ignore_eos=True),
    "min_tokens": call("z", 100, grammar=JSON, min_tokens=90),
    "whole": call("z", 100, grammar=JSON, whole=True),
}


def test_answers_fit_whatever_chooses_them_alone_and_in_company(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        alone = {name: await answer(service, wanted) for name, wanted in WAYS.items()}
        free = [call("f" * i, 40, temperature=1.0, seed=i) for i in range(1, 4)]
        undisturbed = [await answer(service, wanted) for wanted in free]
        together = await asyncio.gather(*(answer(service, wanted) for wanted in (*WAYS.values(), *free)))
        for (name, (text, end)), (other, _) in zip(alone.items(), together, strict=False):
            check(text)
            assert end.reason is FinishReason.STOP, name
            assert end.stop_token_id is None, "it is complete without a token that says so"
            assert other == text, name
        assert [text for text, _ in undisturbed] == [text for text, _ in together[len(WAYS) :]]

    assert with_service(bundle, test, max_queue=16) == []


def test_several_sequences_and_beams(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        texts, ends = await collect(service, call("x", 100, grammar=JSON, n=4, temperature=1.5, seed=1))
        assert len(texts) == 4
        assert len(set(texts.values())) > 1
        beams = await collect(service, call("x", 100, grammar=JSON, n=3, beam_search=BeamCall(3)))
        for text in (*texts.values(), *beams[0].values()):
            check(text)
        assert {end.reason for end in (*ends.values(), *beams[1].values())} == {FinishReason.STOP}
        assert len(set(beams[0].values())) == 3

    assert with_service(bundle, test) == []


@pytest.mark.parametrize("fields", [{"ignore_eos": True}, {"min_tokens": 12}])
def test_beams_end_where_nothing_may_follow_though_no_end_token_may_come(bundle: Path, fields: dict[str, int]) -> None:
    async def test(service: GenerationService) -> None:
        words = Grammar("choice", choices=("yes", "no", "maybe"))
        wanted = call("x", 12, grammar=words, beam_search=BeamCall(3), n=2, logprobs=0, **fields)
        texts, ends = await collect(service, wanted)
        assert len({*texts.values()} & {*words.choices}) == 2
        for index, end in ends.items():
            assert (end.reason, end.stop_token_id) == (FinishReason.STOP, None)
            assert end.usage.completion_tokens == len(texts[index])

    assert with_service(bundle, test) == []


def test_logprobs_are_the_models_own(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        async def first(wanted: GenerationCall) -> Delta:
            async with aclosing(service.generate(wanted)) as parts:
                async for part in parts:
                    assert isinstance(part, Delta)
                    return part
            raise AssertionError

        free, bound = [await first(call("x", 1, logprobs=5, grammar=given)) for given in (None, JSON)]
        assert free.logprobs[0].top == bound.logprobs[0].top
        assert bound.logprobs[0].token_id == id_of("{")
        assert bound.logprobs[0].logprob < free.logprobs[0].logprob

    assert with_service(bundle, test) == []


def test_an_answer_that_max_tokens_cuts_says_so(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        whole, _ = await answer(service, WAYS["greedy"])
        for length in (1, 5, len(whole) - 1, len(whole)):
            text, end = await answer(service, replace(WAYS["greedy"], max_tokens=length))
            assert text == whole[:length]
            assert end.reason is (FinishReason.STOP if length == len(whole) else FinishReason.LENGTH)

    assert with_service(bundle, test) == []


def test_ends_come_where_the_text_may_end_and_where_the_call_lets_them(endless: Path) -> None:
    stop = id_of("k")

    async def test(service: GenerationService) -> None:
        async def text(**fields: object) -> tuple[str, Finish]:
            return await answer(service, call("x", 40, grammar=LETTERS, **fields))

        free, end = await text()
        assert (len(free), end.reason) == (40, FinishReason.LENGTH)
        bound, end = await text(stop_token_ids=(stop,), logit_bias={stop: 1e4})
        assert (len(bound), end.stop_token_id) == (3, stop)
        bound, end = await text(stop_token_ids=(stop,), logit_bias={stop: 1e4}, min_tokens=10)
        assert (len(bound), end.stop_token_id) == (10, stop)
        bound, end = await text(logit_bias={EOS: 2e4})
        assert (len(bound), end.stop_token_id) == (3, EOS)
        bound, end = await text(logit_bias={EOS: 2e4}, ignore_eos=True)
        assert (len(bound), end.reason) == (40, FinishReason.LENGTH)
        assert re.fullmatch("[a-z]{40}", bound)
        bound, end = await text(stop=(free[4:6],))
        assert (bound, end.stop_string) == (free[:4], free[4:6])

    assert with_service(endless, test) == []


def test_rules_that_leave_nothing_fail_their_call_and_no_other(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        wanted = call("x", 10, grammar=YES, suppress_tokens=(id_of("e"),))
        other = asyncio.create_task(answer(service, call("x", 200, ignore_eos=True)))
        with pytest.raises(StepFailed, match="leave no token"):
            await answer(service, wanted)
        assert (await other)[1].reason is FinishReason.LENGTH
        # a stop token that is the only way on
        with pytest.raises(StepFailed, match="leave no token"):
            await answer(service, call("x", 10, grammar=YES, stop_token_ids=(id_of("e"),)))

    assert with_service(bundle, test) == []


def test_a_forced_answer_has_no_grammar(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        with pytest.raises(InvalidRequest, match=r"grammar says how an answer is chosen"):
            await answer(service, call("x", None, grammar=YES, forced_answer=(10, 11)))

    assert with_service(bundle, test) == []


def test_what_is_refused_is_refused_at_the_door_and_others_go_on(bundle: Path) -> None:
    metrics = Metrics()

    async def test(service: GenerationService) -> None:
        other = asyncio.create_task(answer(service, call("x", 300, ignore_eos=True)))
        for name in ("huge enum", "$ref in a circle", "open group", "not", "brackets in brackets"):
            for _ in range(2):  # the second time, it is known
                with pytest.raises(InvalidRequest, match=r"cannot be used|has .* bytes"):
                    await answer(service, call("x", 5, grammar=REFUSED[name]))
        with pytest.raises(TooLarge):
            await answer(service, call("x", 5, grammar=REFUSED["too large"]))
        assert (await other)[1].reason is FinishReason.LENGTH
        assert counted(metrics, "refused") == 11
        text, _ = await answer(service, call("x", 30, grammar=HARMLESS["plus of plus"]))
        assert re.match("xx+", text)

    assert with_model(load(bundle), test, metrics) == []


def test_a_grammar_that_is_too_complex_on_the_way_ends_its_call_only(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        other = asyncio.create_task(answer(service, call("x", 200, ignore_eos=True)))
        with pytest.raises(InvalidRequest, match="too complex"):
            await answer(service, call("x", 200, grammar=HARMLESS["many properties"]))
        assert (await other)[1].reason is FinishReason.LENGTH

    assert with_service(bundle, test) == []


def counted(metrics: Metrics, outcome: str) -> float:
    page = metrics.render()[0].decode()
    (found,) = re.findall(rf'attendant_grammar_requests_total{{.*outcome="{outcome}"}} (\S+)', page)
    return float(found)


def test_a_grammar_is_compiled_once_for_all_who_ask_at_once(bundle: Path) -> None:
    metrics = Metrics()

    async def test(service: GenerationService) -> None:
        await asyncio.gather(*(answer(service, call("x", 5, grammar=JSON)) for _ in range(6)))
        await answer(service, call("x", 5, grammar=JSON))
        page = metrics.render()[0].decode()
        assert "attendant_grammar_compile_seconds_count" in page
        assert re.search(r"attendant_grammar_compile_seconds_count{.*} 1.0", page)
        assert counted(metrics, "compiled") + counted(metrics, "cached") == 7
        assert counted(metrics, "cached") >= 1

    assert with_model(load(bundle, max_queue=16), test, metrics) == []


def test_whoever_leaves_while_a_grammar_is_compiled_leaves_nothing(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        tasks = [
            asyncio.create_task(answer(service, call("x", 5, grammar=Grammar("regex", f"a{{{i}}}b")))) for i in range(9)
        ]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in ended)
        held = service._grammars
        await wait_until(lambda: all(not of_model.jobs for of_model in held._models.values()))
        assert (await answer(service, call("x", 5, grammar=YES)))[0] == "yes"

    assert with_service(bundle, test) == []


def test_nothing_is_kept_of_a_model_that_has_left(bundle: Path) -> None:
    async def test() -> None:
        grammars = Grammars(GrammarSettings(), Metrics().grammars)
        model = load(bundle)
        await grammars.compiled(call("x", 5, grammar=JSON), model)
        with suppress(InvalidRequest):
            await grammars.compiled(call("x", 5, grammar=REFUSED["not"]), model)
        (kept,) = [of_model.kept(REFUSED["not"]) for of_model in grammars._models.values()]
        assert isinstance(kept, InvalidRequest)
        assert kept.__traceback__ is None  # it would have hold of all that was compiled
        words = weakref.ref(model.text)
        del model
        await wait_until(lambda: gc.collect() >= 0 and words() is None)  # a thread may be about to forget its job
        grammars.close()

    asyncio.run(test())


def test_what_takes_too_long_to_compile_is_refused(bundle: Path) -> None:
    metrics = Metrics()

    async def test(service: GenerationService) -> None:
        held = service._grammars
        held._settings = held._settings.model_copy(update={"max_compile_s": 0.001})
        wrong = call("x", 5, grammar=REFUSED["too many properties"])
        with pytest.raises(InvalidRequest, match="to compile it takes more than"):
            await answer(service, wrong)
        await wait_until(lambda: all(not of_model.jobs for of_model in held._models.values()))
        with pytest.raises(InvalidRequest, match="cannot be used"):  # what has come of it meanwhile
            await answer(service, wrong)
        assert counted(metrics, "refused") == 2
        page = metrics.render()[0].decode()
        assert re.search(r"attendant_grammar_compile_seconds_count{.*} 1.0", page)
        assert not re.search(r"attendant_grammar_compile_seconds_sum{.*} 0.0\n", page)

    assert with_model(load(bundle), test, metrics) == []


def test_what_takes_too_long_is_not_refused_for_good() -> None:
    """How long it takes is a matter of what else the machine does."""

    async def test() -> None:
        threads, go, ended = JobThreads(1), threading.Event(), list[_Job[bool]]()
        job = _Job(lambda: go.wait(300), ended.append)
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await job.result(threads, 0.01)
        assert (job.outcome, ended) == (None, [])
        go.set()
        await wait_until(lambda: ended == [job])
        assert job.outcome is True
        assert await job.result(threads, 0.01)
        threads.close()

    asyncio.run(test())


def test_a_token_that_would_end_a_cut_answer_is_not_forced(tmp_path: Path) -> None:
    ended = make_synthetic_bundle(tmp_path / "m", defaults=GenerationDefaults(forced_last=EOS))

    async def test(service: GenerationService) -> None:
        assert (await answer(service, call("x", 5)))[1].stop_token_id == EOS
        assert (await answer(service, call("x", 5, grammar=JSON)))[1].reason is FinishReason.LENGTH
        with pytest.raises(InvalidRequest, match="forced_last is 9; allowed with a grammar: none"):
            await answer(service, call("x", 5, grammar=JSON, forced_last=(9,)))

    assert with_service(ended, test) == []


def test_an_encoder_decoder_answers_in_a_grammar() -> None:
    """Its language token, which is forced, is none of the text."""

    async def test(service: GenerationService) -> None:
        for grammar, expected in (
            (Grammar("choice", choices=("oui", "non merci")), "oui|non merci"),
            (LETTERS, "[a-z]+"),
        ):
            asked = call("Where is the station?", 40, translation=Translation(), grammar=grammar)
            for wanted in (asked, replace(asked, beam_search=BeamCall(3))):
                text, _ = await answer(service, wanted)
                assert re.fullmatch(expected, text)

    assert with_service(demo_bundle().parent / "translator", test) == []
