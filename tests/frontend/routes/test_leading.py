"""Aliases, canaries, and what routes look like to callers: on real models without weights."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest
from attendant.core.context import CallContext, working_for
from attendant.core.errors import ConfigurationError, InvalidRequest, ModelFailed, ModelNotFound, Unavailable
from attendant.core.generation import Finish, TextPrompt
from attendant.frontend.encoding.calls import ClassifyCall, RerankCall
from attendant.frontend.explain.calls import AttentionCall, Subject
from attendant.frontend.front_end import FrontEnd
from attendant.metrics import Metrics
from attendant.models.failed import FailedModel
from attendant.models.info import ModelInfo
from attendant.settings.routes import RoutesFile
from prometheus_client import CollectorRegistry

from tests.frontend.encoding.helpers import items
from tests.frontend.routes.helpers import ask, counted, said, with_routes
from tests.synthetic import make_synthetic_bundle
from tests.synthetic_encoder import make_text_encoder

ROUTES = """
seed: 5
routes:
  other: {kind: alias, model: one}
  far: {kind: alias, model: split}
  split: {kind: canary, targets: [{model: one, weight: 3}, {model: two}]}
  kept: {kind: canary, sticky: x-user, targets: [{model: one}, {model: two}]}
  moods-too: {kind: alias, model: moods}
  both: {kind: mean, members: [{model: moods}, {model: moods-too}]}
"""


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("bundles")
    return [
        make_synthetic_bundle(folder / "one", name="one", seed=1, eos_bias=-50),
        make_synthetic_bundle(folder / "two", name="two", seed=2, eos_bias=-50),
        make_text_encoder(folder / "moods"),
    ]


def test_an_alias_answers_as_its_model_does_and_says_so(bundles: list[Path]) -> None:
    metrics = Metrics(CollectorRegistry())

    async def test(front_end: FrontEnd) -> None:
        text, end = await said(front_end, ask("other", receipt=True, seed=1, temperature=1.0))
        alone, plain = await said(front_end, ask("one", receipt=True, seed=1, temperature=1.0))
        assert (text, end.usage.completion_tokens) == (alone, plain.usage.completion_tokens)
        assert end.receipt is not None
        assert end.receipt == plain.receipt
        assert end.receipt.maker.model == "one"
        (step,) = end.timings.steps
        assert (step.name, step.model) == ("other", "one")
        assert 0 <= step.began_ns <= step.began_ns + step.took_ns
        assert plain.timings.steps == ()
        classified = await front_end.encoding.classify(ClassifyCall("moods-too", items("a", "b")))
        plainly = await front_end.encoding.classify(ClassifyCall("moods", items("a", "b")))
        assert classified.results == plainly.results
        assert [step.model for step in classified.usage.steps] == ["moods"]
        tokens = await front_end.generation.tokenize("other", TextPrompt("hi"))
        assert tokens == await front_end.generation.tokenize("one", TextPrompt("hi"))
        assert tokens == await front_end.tokenizer.tokenize("far", TextPrompt("hi"))
        assert await front_end.tokenizer.detokenize("far", tokens.token_ids) == "hi"

    with_routes(bundles, ROUTES, test, metrics)
    assert counted(metrics, "route_requests_total") == {
        ("success", "other", "one"): 1,
        ("success", "moods-too", "moods"): 1,
    }


def test_a_canary_has_its_shares_and_its_seed_makes_them_again(bundles: list[Path]) -> None:
    num_calls = 200
    runs = []
    for _ in range(2):
        metrics = Metrics(CollectorRegistry())

        async def test(front_end: FrontEnd) -> None:
            for _ in range(num_calls):
                await said(front_end, ask("split", max_tokens=1))

        with_routes(bundles, ROUTES, test, metrics)
        runs.append(counted(metrics, "route_requests_total"))
    assert runs[0] == runs[1]
    share = runs[0]["success", "split", "two"]
    assert sum(runs[0].values()) == num_calls
    assert abs(share - num_calls / 4) <= 5 * math.sqrt(num_calls * 0.25 * 0.75)


def test_a_key_goes_to_one_model_and_a_call_keeps_to_its_choice(bundles: list[Path]) -> None:
    async def test(front_end: FrontEnd) -> None:
        makers = set()
        for user in range(12):
            context = CallContext.new(metadata={"x-user": f"user {user}"})
            models = set()
            for _ in range(3):
                _, end = await said(front_end, ask("kept"), context)
                models |= {step.model for step in end.timings.steps}
            assert len(models) == 1
            makers |= models
        assert makers == {"one", "two"}
        for _ in range(20):  # by chance, and once for each call
            context = CallContext.new()
            with working_for(context):
                await front_end.generation.tokenize("split", TextPrompt("hi"))
                _, end = await said(front_end, ask("split", max_tokens=1), context)
                assert {step.model for step in end.timings.steps} == {context.chosen["split"]}

    with_routes(bundles, ROUTES, test)


def test_what_a_route_is_not_for_is_refused(bundles: list[Path]) -> None:
    metrics = Metrics(CollectorRegistry())

    async def test(front_end: FrontEnd) -> None:
        with pytest.raises(
            InvalidRequest, match="model is 'both', which is for task classify; allowed, for task generate"
        ):
            await said(front_end, ask("both"))
        with pytest.raises(
            InvalidRequest, match="'split', which is for task generate; allowed, for task rerank: no route"
        ):
            await front_end.encoding.rerank(RerankCall("split", "q", ("d",)))
        with pytest.raises(InvalidRequest, match=r"is 'both', whose answers several models make \(mean\)"):
            await front_end.generation.tokenize("both", TextPrompt("hi"))
        with pytest.raises(InvalidRequest, match="whose answers several models make"):
            await front_end.explain.attention(AttentionCall("both", Subject(TextPrompt("hi"))))
        with pytest.raises(InvalidRequest, match="is 'other', whose bundle gives no attention"):
            await front_end.explain.attention(AttentionCall("other", Subject(TextPrompt("hi"))))
        with pytest.raises(ModelNotFound):
            await said(front_end, ask("nobody"))
        with pytest.raises(ModelNotFound, match="'kept'"):
            front_end.get_model("nobody")

    with_routes(bundles, ROUTES, test, metrics)
    assert counted(metrics, "route_requests_total")["invalid_request", "both", ""] == 1


def test_routes_look_like_models(bundles: list[Path]) -> None:
    async def test(front_end: FrontEnd) -> None:
        models = {info.name: info for info in front_end.list_models()}
        assert list(models)[:3] == ["one", "two", "moods"]
        split, other, both = models["split"], models["far"], models["both"]
        assert isinstance(split, ModelInfo)
        assert isinstance(other, ModelInfo)
        assert isinstance(both, ModelInfo)
        assert split.route is not None
        assert both.route is not None
        assert split.capabilities == ("generate", "continue")
        assert [(t.model, t.weight, t.cause) for t in split.route.targets] == [("one", 3, ""), ("two", 1, "")]
        one = models["one"]
        assert isinstance(one, ModelInfo)
        assert other.generation == one.generation
        assert (other.maker, both.maker) == (one.maker, None)
        assert (both.capabilities, both.route.kind, both.route.fuses) == (("classify",), "mean", True)
        assert [part.task for part in both.encodings] == ["classify"]
        assert front_end.get_model("both") == both
        assert front_end.readiness() == dict.fromkeys([*models, "one@1", "two@1", "moods@1"], True)

    with_routes(bundles, ROUTES, test)


@pytest.mark.parametrize(
    ("routes", "told"),
    [
        (
            "a: {kind: alias, model: nobody}",
            "routes.yaml:2: routes.a.model: no model named 'nobody' is loaded; allowed",
        ),
        (
            "a: {kind: canary, targets: [{model: one}, {model: moods}]}",
            "a.targets[1].model: 'moods' is for task classify, and 'one' for generate; allowed: models of one task",
        ),
        ("a: {kind: shadow, model: one, shadow: moods}", "routes.a.shadow: 'moods' is for task classify"),
        ("a: {kind: mean, members: [{model: one}]}", "'one' is for task generate; needed here: classify"),
        ("a: {kind: rrf, members: [{model: moods}]}", "needed here: rerank or embed"),
        (
            "a: {kind: pipeline, steps: [{name: s, do: translate, model: one}]}",
            "routes.a.steps[0].model: 'one' is for task generate; needed here: translate",
        ),
        ("a: {kind: mean, members: [{model: b}]}\n  b: {kind: alias, model: one}", "needed here: classify"),
    ],
)
def test_what_models_cannot_do_keeps_a_server_from_starting(bundles: list[Path], routes: str, told: str) -> None:
    async def test(front_end: FrontEnd) -> None:
        pytest.fail("it does not start")

    with pytest.raises(ConfigurationError) as caught:
        with_routes(bundles, f"routes:\n  {routes}", test)
    assert told in str(caught.value)


def test_members_with_other_labels_are_refused(bundles: list[Path], tmp_path: Path) -> None:
    other = make_text_encoder(tmp_path / "other", labels=("no", "yes"))

    async def test(front_end: FrontEnd) -> None:
        pytest.fail("it does not start")

    with pytest.raises(ConfigurationError, match="'other' has labels no, yes, others have no, maybe, yes"):
        with_routes([bundles[2], other], "routes: {a: {kind: mean, members: [{model: moods}, {model: other}]}}", test)


def test_models_come_and_go_under_routes(bundles: list[Path], tmp_path: Path) -> None:
    """A model that may come later is waited for; one that leaves takes its routes out, or its share of a canary."""
    routes = """
routes:
  late: {kind: alias, model: two}
  split: {kind: canary, targets: [{model: one, weight: 0.0000001}, {model: two, weight: 1}]}
  chain: {kind: pipeline, steps: [{name: a, do: generate, model: one}, {name: b, do: generate, model: two}]}
"""
    metrics = Metrics(CollectorRegistry())

    async def test(front_end: FrontEnd) -> None:
        late = front_end.get_model("late")
        assert isinstance(late, FailedModel)
        assert late.cause == "no model named 'two' is loaded"
        assert late.capabilities == ()
        assert front_end.readiness() == {"one": True, "one@1": True, "late": False, "split": True, "chain": False}
        with pytest.raises(Unavailable, match="route 'late' takes no calls now: no model named 'two' is loaded"):
            await said(front_end, ask("late"))
        assert (await said(front_end, ask("split")))[1].timings.steps[0].model == "one"
        await front_end.models.load(bundles[1])
        assert front_end.readiness()["late"] is front_end.readiness()["chain"] is True
        await said(front_end, ask("late"))
        assert (await said(front_end, ask("split")))[1].timings.steps[0].model == "two"
        await front_end.models.unload("two", 1)
        with pytest.raises(Unavailable, match="no model named 'two' is loaded"):
            await said(front_end, ask("chain"))
        assert (await said(front_end, ask("split")))[1].timings.steps[0].model == "one"

    with_routes(bundles[:1], routes, test, metrics, folder=tmp_path)
    assert counted(metrics, "route_ready") == {("split",): 1}


def test_a_model_that_turns_out_to_be_another_is_a_cause(bundles: list[Path], tmp_path: Path) -> None:
    async def test(front_end: FrontEnd) -> None:
        await front_end.models.load(bundles[2])
        wrong = front_end.get_model("chain")
        assert isinstance(wrong, ModelInfo)
        assert wrong.route is not None
        assert wrong.route.cause == "'moods' is for task classify; needed here: continue or translate"
        with pytest.raises(ModelFailed, match="needed here"):
            await said(front_end, ask("chain"))

    with_routes(
        bundles[:1],
        "routes: {chain: {kind: pipeline, steps: [{name: a, do: generate, model: one}, "
        "{name: b, do: generate, model: moods}]}}",
        test,
        folder=tmp_path,
    )


def test_routes_are_replaced_as_a_whole_or_not_at_all(bundles: list[Path]) -> None:
    async def test(front_end: FrontEnd) -> None:
        with pytest.raises(ConfigurationError):
            await front_end.put_routes(RoutesFile.parse("routes: {new: {kind: alias, model: nobody}}"))
        assert front_end.readiness()["other"]
        parts = front_end.generation.generate(ask("other", max_tokens=200))
        await anext(parts)
        await front_end.put_routes(RoutesFile.parse("routes: {new: {kind: alias, model: one}}"))
        assert [info.name for info in front_end.list_models()] == ["one", "two", "moods", "new"]
        last = [part async for part in parts][-1]
        assert isinstance(last, Finish)
        assert last.timings.steps[0].name == "other"
        with pytest.raises(ModelNotFound):
            await said(front_end, ask("other"))
        await said(front_end, ask("new"))

    with_routes(bundles, ROUTES, test)


def test_a_caller_who_leaves_is_counted(bundles: list[Path]) -> None:
    metrics = Metrics(CollectorRegistry())

    async def test(front_end: FrontEnd) -> None:
        parts = front_end.generation.generate(ask("far", max_tokens=200))
        await anext(parts)
        await parts.aclose()
        await asyncio.sleep(0)

    with_routes(bundles, ROUTES, test, metrics)
    found = counted(metrics, "route_requests_total")
    assert {key[:2] for key in found} == {("cancelled", "far"), ("cancelled", "split")}
