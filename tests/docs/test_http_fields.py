"""The page of endpoints names every path and field of the HTTP APIs' bodies, each with a test that exists."""

from __future__ import annotations

import re

import pytest
from attendant.http.api.openai.sampling import SamplingBody

from tests.docs.markdown import REPOSITORY
from tests.docs.tables import assert_every_row_names_tests_that_exist, named
from tests.http.api.known import BODIES

TEXT = (REPOSITORY / "docs" / "http-fields.md").read_text(encoding="utf-8")
SECTIONS = re.findall(r"^### ([^\n]+)\n(.*?)(?=^##|\Z)", TEXT, re.DOTALL | re.MULTILINE)
PATHS = {path: section for head, section in SECTIONS for path in re.findall(r"`(/[^`]+)`", head)}
SHARED = "Sampling and structure"


def fields(path: str) -> set[str]:
    """Those of a path's body."""
    return set(BODIES[path].model_json_schema().get("properties", {}))


def test_every_path_has_a_section() -> None:
    assert set(PATHS) == set(BODIES)


@pytest.mark.parametrize("path", sorted(BODIES))
def test_every_field_of_a_body_has_a_row_and_no_other(path: str) -> None:
    shared = set(SamplingBody.model_fields) if issubclass(BODIES[path], SamplingBody) else set()
    assert named(PATHS[path]) == fields(path) - shared


def test_fields_that_calls_share_have_rows() -> None:
    assert named(dict(SECTIONS)[SHARED]) == set(SamplingBody.model_fields)


def test_every_row_names_tests_that_exist() -> None:
    assert_every_row_names_tests_that_exist(TEXT)
