"""Every architecture against the torch model, and docs/architectures.md against every architecture."""

from __future__ import annotations

import pytest

from tests.export import architectures_doc
from tests.export.architectures import ARCHITECTURES
from tests.export.measure import measure
from tests.export.relatives import NIGHTLY


def test_at_least_55_architectures_are_tested_and_documented() -> None:
    assert len(ARCHITECTURES) >= 55
    assert set(architectures_doc.read()) == set(ARCHITECTURES), "run python -m tests.export.architectures_doc"


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.nightly] * (name in NIGHTLY)) for name in ARCHITECTURES]
)
def test_graph_gives_the_models_logits(name: str) -> None:
    found = measure(name)
    documented = architectures_doc.read()[name]

    worst = max(found.errors.values())
    assert worst <= 1e-4 * max(1.0, found.spread), found.errors
    assert worst <= documented.error_below, found.errors
    assert architectures_doc.row_of(name, found).counts == documented.counts
    assert found.exact_batch >= documented.exact_batch
    assert found.exact_chunks >= documented.exact_chunks
