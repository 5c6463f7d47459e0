"""Shadows: the caller has its answer first, and what they find is counted."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from attendant.frontend.encoding.calls import ClassifyCall, RerankCall
from attendant.frontend.front_end import FrontEnd
from attendant.frontend.routes.differences import of_texts
from attendant.metrics import Metrics
from prometheus_client import CollectorRegistry

from tests.frontend.encoding.helpers import items
from tests.frontend.generation.helpers import wait_until
from tests.frontend.routes.helpers import ask, counted, said, with_routes
from tests.synthetic import make_synthetic_bundle
from tests.synthetic_encoder import make_text_encoder

ROUTES = """
seed: 1
routes:
  same: {kind: shadow, model: one, shadow: again}
  again: {kind: alias, model: one}
  differs: {kind: shadow, model: one, shadow: two}
  part: {kind: shadow, model: moods, shadow: others, share: 0.3, max_running: 200}
  moods: {kind: shadow, model: moods, shadow: others}
  slow: {kind: shadow, model: one, shadow: again, timeout_s: 0.001}
  ranks-too: {kind: shadow, model: ranks, shadow: ranks}
"""


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("bundles")
    return [
        make_synthetic_bundle(folder / "one", name="one", seed=1, eos_bias=-50),
        make_synthetic_bundle(folder / "two", name="two", seed=2, eos_bias=-50),
        make_text_encoder(folder / "moods"),
        make_text_encoder(folder / "others", labels=("yes", "no", "maybe")),
        make_text_encoder(folder / "ranks", "rerank", labels=("fits",)),
    ]


async def over(front_end: FrontEnd) -> None:
    """All shadows have ended."""
    await wait_until(lambda: front_end._services.shadows.num_running == 0)


def test_equal_and_different_answers_are_told_apart(bundles: list[Path]) -> None:
    metrics = Metrics(CollectorRegistry())

    async def test(front_end: FrontEnd) -> None:
        plain, _ = await said(front_end, ask("one"))
        for name in ("same", "differs"):
            text, end = await said(front_end, ask(name))
            assert (text, end.timings.steps[0].model) == (plain, "one")
            await over(front_end)
        alone = await front_end.encoding.classify(ClassifyCall("moods@1", items("a", "bb")))
        watched = await front_end.encoding.classify(ClassifyCall("moods", items("a", "bb")))
        assert watched.results == alone.results
        await over(front_end)
        await front_end.encoding.rerank(RerankCall("ranks-too", "q", ("a", "b")))
        await over(front_end)

    with_routes(bundles, ROUTES, test, metrics)
    assert counted(metrics, "shadow_requests_total") == {
        ("equal", "same", "again"): 1,
        ("different", "differs", "two"): 1,
        ("different", "moods", "others"): 1,
        ("equal", "ranks-too", "ranks"): 1,
    }
    assert counted(metrics, "shadow_distance_count") == {
        ("length", "same", "again"): 1,
        ("length", "differs", "two"): 1,
        ("label", "moods", "others"): 1,
        ("score", "moods", "others"): 1,
        ("label", "ranks-too", "ranks"): 1,
        ("score", "ranks-too", "ranks"): 1,
    }


def test_a_share_of_the_calls_is_followed(bundles: list[Path]) -> None:
    metrics, num_calls = Metrics(CollectorRegistry()), 200

    async def test(front_end: FrontEnd) -> None:
        for _ in range(num_calls):
            await front_end.encoding.classify(ClassifyCall("part", items("a")))
        await over(front_end)

    with_routes(bundles, ROUTES, test, metrics)
    counts = counted(metrics, "shadow_requests_total")
    followed = sum(count for (_, route, _), count in counts.items() if route == "part")
    assert sum(counts.values()) == followed + num_calls, "its model is a route that follows all"
    assert abs(followed - 0.3 * num_calls) <= 5 * (num_calls * 0.3 * 0.7) ** 0.5


def test_one_that_comes_while_another_runs_is_dropped(bundles: list[Path]) -> None:
    metrics = Metrics(CollectorRegistry())

    async def test(front_end: FrontEnd) -> None:
        await asyncio.gather(*(said(front_end, ask("same", max_tokens=40)) for _ in range(4)))
        await over(front_end)

    with_routes(bundles, ROUTES, test, metrics)
    found = counted(metrics, "shadow_requests_total")
    assert sum(found.values()) == 4
    assert found["dropped", "same", "again"] >= 1
    assert found["equal", "same", "again"] >= 1


def test_a_shadow_that_fails_or_takes_too_long_is_nobodys(bundles: list[Path]) -> None:
    metrics = Metrics(CollectorRegistry())

    async def test(front_end: FrontEnd) -> None:
        await said(front_end, ask("slow", max_tokens=100))
        await over(front_end)
        await front_end.models.unload("two", 1)
        assert front_end.readiness()["differs"], "a shadow that is not there keeps nobody from answering"
        await said(front_end, ask("differs"))
        await over(front_end)

    with_routes(bundles, ROUTES, test, metrics)
    ends = counted(metrics, "shadow_requests_total")
    assert {(route, target) for _, route, target in ends} == {("slow", "again"), ("differs", "two")}
    assert ends["failed", "differs", "two"] == 1
    assert ends.get(("failed", "slow", "again"), 0) + ends.get(("dropped", "slow", "again"), 0) == 1, (
        "once the model's pace is known, it is seen beforehand that there is no time"
    )


def test_a_caller_who_leaves_before_the_end_has_no_shadow(bundles: list[Path]) -> None:
    metrics = Metrics(CollectorRegistry())

    async def test(front_end: FrontEnd) -> None:
        parts = front_end.generation.generate(ask("same", max_tokens=100))
        await anext(parts)
        await parts.aclose()
        await over(front_end)

    with_routes(bundles, ROUTES, test, metrics)
    assert counted(metrics, "shadow_requests_total") == {}


def test_shadows_that_run_end_with_the_server(bundles: list[Path]) -> None:
    async def test(front_end: FrontEnd) -> None:
        await said(front_end, ask("same", max_tokens=200))
        assert front_end._services.shadows.num_running == 1

    with_routes(bundles, ROUTES, test)


def test_texts_differ_in_their_lengths() -> None:
    assert of_texts(["abcd"], ["abcd"]).equal
    assert of_texts(["abcd"], ["ab"]).distances == {"length": 0.5}
    assert of_texts(["abcd", "a"], ["abcd"]).distances == {"length": 0.5}
    assert of_texts([""], [""]).distances == {"length": 0.0}
