"""Objectives are read as they are written, and what cannot be meant is refused."""

from __future__ import annotations

import pytest
from attendant.core.objectives import ENCODING, GENERATING, Objective, Objectives, ObjectivesByModel


def test_a_model_has_its_own_in_place_of_those_of_all() -> None:
    found = ObjectivesByModel.parse("ttft 300ms p99, itl 50 ms p99.9, org/m:v1: ttft 1.5s p50")
    assert found.of("other") == Objectives(Objective(0.3, 0.99), Objective(0.05, 0.999))
    assert found.of("org/m:v1") == Objectives(Objective(1.5, 0.5), Objective(0.05, 0.999))


def test_models_that_encode_have_a_latency() -> None:
    found = ObjectivesByModel.parse("latency 50ms p99, ttft 1s p99, minilm: latency 20ms p99.9")
    assert found.of("other") == Objectives(Objective(1, 0.99), None, Objective(0.05, 0.99))
    assert found.of("minilm") == Objectives(Objective(1, 0.99), None, Objective(0.02, 0.999))
    assert (found.models(ENCODING), found.models(GENERATING)) == ({"minilm"}, frozenset())


def test_nothing_is_promised_where_nothing_is_written() -> None:
    assert ObjectivesByModel.parse("").of("m") == Objectives()
    only = ObjectivesByModel.parse("m: itl 50ms p99")
    assert only.of("m") == Objectives(None, Objective(0.05, 0.99))
    assert only.of("n") == Objectives()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ttft 300 p99", "time in ms or s"),
        ("ttfb 300ms p99", "ttft, itl or latency"),
        ("ttft 300ms 99", "as in ttft 300ms p99"),
        ("ttft 0ms p99", "more than 0 ms"),
        ("ttft 1s p100", "less than p100"),
        ("ttft 1s p0", "more than p0"),
        ("ttft 1s p99, ttft 2s p99", "ttft of all models twice"),
        ("m: itl 1s p99, m: itl 2s p99", "itl of m twice"),
        ("latency p99", "time in ms or s"),
        ("latency 1s p99, latency 50ms p99", "latency of all models twice"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ObjectivesByModel.parse(text)
