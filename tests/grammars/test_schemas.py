"""Answers for schemas drawn by hypothesis parse and validate, alone and in company, in slots and in pages. A thousand
and more by `python -m tests.grammars.thousand`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine.helpers import request
from tests.grammars.schemas import Answers, answers_of, check_schema, schemas
from tests.synthetic import make_synthetic_bundle

COMPANY = [request("free", range(20, 31), 80), request("drawn", range(40, 44), 60, temperature=1.0, seed=5)]


@pytest.fixture(scope="module")
def slots(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    return answers_of(make_synthetic_bundle(tmp_path_factory.mktemp("schemas") / "m", context_length=256))


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(schema=schemas, seed=st.integers(0, 10**6))
def test_answers_fit_their_schemas(slots: Answers, schema: dict[str, Any], seed: int) -> None:
    check_schema(slots, schema, seed, COMPANY)


@pytest.fixture(scope="module")
def pages(paged_bundle: Path) -> Answers:
    return answers_of(paged_bundle)


@settings(max_examples=3, suppress_health_check=[HealthCheck.too_slow])
@given(schema=schemas, seed=st.integers(0, 10**6))
def test_answers_over_candidates_fit_their_schemas(pages: Answers, schema: dict[str, Any], seed: int) -> None:
    check_schema(pages, schema, seed, COMPANY)
