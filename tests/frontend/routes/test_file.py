"""The routes file: what is wrong with one is told with its line, its place and what is allowed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from attendant.core.errors import ConfigurationError
from attendant.frontend.routes.graph import MAX_DEPTH, compiled
from attendant.frontend.routes.reader import RoutesReader
from attendant.metrics import Metrics
from attendant.settings.routes import RoutesFile
from prometheus_client import CollectorRegistry

ALIASES = "\n".join(f"  r{i}: {{kind: alias, model: r{i + 1}}}" for i in range(MAX_DEPTH + 1))
TOO_LONG = "routes:\n" + ALIASES + f"\n  r{MAX_DEPTH + 1}: {{kind: alias, model: m}}\n"


def pipeline(*steps: str) -> str:
    return "routes:\n  p:\n    kind: pipeline\n    steps:\n" + "\n".join(f"      - {{{step}}}" for step in steps)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("routes: [", "routes.yaml: is not valid YAML"),
        ("routes:\n  a: {kind: alias, model: 2024-13-45}", "routes.yaml: is not valid YAML: month must be in 1..12"),
        ("routes: " + "[" * 3000, "routes.yaml: is nested too deep"),
        ("- a", "must hold routes by name"),
        (
            "routes:\n  a: {kind: alias, model: m}\n  a: {kind: alias, model: n}",
            "routes.yaml:3: routes.a: is there twice",
        ),
        (
            "routes:\n  a: {kind: alias, model: m, colour: red}",
            "routes.yaml:2: routes.a.colour: there is no such field",
        ),
        ("routes:\n  a: {model: m}", "routes.yaml:2: routes.a.kind: is missing; allowed: alias, canary"),
        (
            "routes:\n  a: {kind: both, model: m}",
            "routes.a.kind: is 'both'; allowed: alias, canary, shadow, mean, vote, rrf, pipeline",
        ),
        ("routes:\n  a:\n    kind: alias", "routes.yaml:2: routes.a.model: Field required"),
        ("routes:\n  a@1: {kind: alias, model: m}", "routes.yaml:2: routes.a@1"),
        (
            "routes:\n  a:\n    kind: canary\n    targets:\n      - {model: m}\n      - {model: n, weight: -1}",
            "routes.yaml:6: routes.a.targets[1].weight: Input should be greater than or equal to 0 (it is '-1')",
        ),
        (
            "routes:\n  a: {kind: canary, targets: [{model: m}, {model: m}]}",
            "routes.a.targets: 'm' is there twice; allowed: each model once",
        ),
        ("routes:\n  a: {kind: canary, targets: [{model: m, weight: 0}]}", "all weights are 0"),
        ("routes:\n  a: {kind: canary, targets: [{model: m}], sticky: 3}", "routes.yaml:2: routes.a.sticky"),
        ("routes:\n  a: {kind: shadow, model: m, shadow: n, share: 2}", "less than or equal to 1 (it is '2')"),
        ("routes:\n  a: {kind: vote, task: embed, members: [{model: m}]}", "task is 'embed'; allowed with kind vote"),
        (pipeline("name: a, do: dance, model: m"), "routes.yaml:5: routes.p.steps[0].do"),
        (pipeline("name: a, do: embed, model: m", "name: b, do: classify, model: m"), "nothing reads vectors"),
        (pipeline("name: a, do: generate, model: m", "name: b, do: transcribe, model: m"), "nothing gives sound"),
        (pipeline("name: a, do: transcribe, model: m", "name: b, do: classify, model: m"), "which is no call"),
        (pipeline("name: a, do: generate, model: m", "name: a, do: classify, model: m"), "two have the name 'a'"),
        (
            pipeline("name: a, do: classify, model: m, max_tokens: 3"),
            "max_tokens is given; allowed in a step that does",
        ),
        (pipeline("name: a, do: generate, model: m, system: s"), "system is given; allowed with chat: true"),
    ],
)
def test_what_is_wrong_is_told(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RoutesFile.parse(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "routes:\n  a: {kind: alias, model: b}\n  b: {kind: alias, model: a}",
            "routes.yaml:2: routes.a: leads to itself: a -> b -> a",
        ),
        (TOO_LONG, f"routes.r0: leads over {MAX_DEPTH + 1} routes; allowed: at most {MAX_DEPTH}"),
        (
            pipeline("name: a, do: generate, model: m, prompt: '{{ txt }}'"),
            "routes.yaml:5: routes.p.steps[0].prompt: names txt; allowed: text, input",
        ),
        (
            pipeline("name: a, do: generate, model: m", "name: b, do: generate, model: m, prompt: '{{ steps.c }}'"),
            "names steps.c; allowed: text, input, steps.a",
        ),
        (pipeline("name: a, do: generate, model: m, prompt: '{% if %}'"), "steps[0].prompt: is no template"),
    ],
)
def test_what_does_not_fit_together_is_told(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        compiled(RoutesFile.parse(text))
    assert said in str(caught.value)


def test_a_long_way_that_is_found_from_its_end_is_too_long_as_well() -> None:
    lines = TOO_LONG.splitlines()
    with pytest.raises(ConfigurationError, match=r"leads over .* routes"):
        compiled(RoutesFile.parse("\n".join([lines[0], *reversed(lines[1:])])))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.yaml: cannot be read: No such file"):
        RoutesFile.read(tmp_path / "none.yaml")


@pytest.mark.parametrize("text", ["routes: {a: {kind: alias, model: 2024-13-45}}", "routes: " + "[" * 3000])
def test_a_file_that_is_read_again_and_is_wrong_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(text)
    registry = CollectorRegistry()

    async def put(file: RoutesFile) -> None:
        pytest.fail("nothing of it is put in place")

    async def main() -> None:
        RoutesReader(path, Metrics(registry).routes).read_again(put)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others)

    asyncio.run(main())
    assert "the routes stay as they were" in caplog.text
    assert registry.get_sample_value("attendant_routes_reloads_total", {"outcome": "refused"}) == 1


def test_within_a_route_its_own_name_means_the_model() -> None:
    routes = compiled(
        RoutesFile.parse("routes:\n  m: {kind: shadow, model: m, shadow: n}\n  n: {kind: alias, model: m@1}")
    )
    first, second = routes["m"].targets
    assert (first.model, first.route) == ("m", None)
    assert second.route is routes["n"]
    assert sorted(routes["m"].models()) == ["m", "m@1"]
