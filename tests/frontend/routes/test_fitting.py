"""Which models may stand in for each other: those that have a task in common, all of them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from attendant.bundle import Capability
from attendant.frontend.routes.fitting import misfit
from attendant.frontend.routes.graph import Route, Target
from attendant.settings.routes import CanaryRoute
from attendant.settings.routes import Target as Weighted


@dataclass(frozen=True)
class Part:
    capabilities: tuple[Capability, ...]
    looks: None = None


@pytest.mark.parametrize(
    ("abilities", "index"),
    [
        ((("generate", "continue", "attention"), ("generate", "attention")), None),
        ((("generate", "attention"), ("classify", "attention")), 1),
        ((("generate",), (), ("classify",)), 2),
        ((("attention",), ("generate",)), None),
        ((("embed", "fill_mask"), ("fill_mask",), ("embed",)), 2),
    ],
)
def test_models_of_a_canary_have_a_task_in_common(
    abilities: tuple[tuple[Capability, ...], ...], index: int | None
) -> None:
    names = [f"m{number}" for number in range(len(abilities))]
    spec = CanaryRoute(kind="canary", targets=tuple(Weighted(model=name) for name in names))
    route = Route("a", spec, tuple(Target(name, None) for name in names))
    found = misfit(route, [Part(able) for able in abilities])
    assert (found[0] if found else None) == index
