"""The page of protocols names every call and field of every service, each with a test that exists."""

from __future__ import annotations

import re

import pytest

from tests.docs.markdown import REPOSITORY
from tests.docs.tables import assert_every_row_names_tests_that_exist, named, rows, words
from tests.fuzz.surface import SERVICES

TEXT = (REPOSITORY / "docs" / "protocols.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### `([\w.]+)`[^\n]*\n(.*?)(?=^##|\Z)", TEXT, re.DOTALL | re.MULTILINE))


def test_every_service_has_a_section() -> None:
    assert set(SECTIONS) == set(SERVICES)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_call_has_a_row(name: str) -> None:
    found = words([row[0] for row in rows(SECTIONS[name])])
    assert found >= set(SERVICES[name].methods_by_name)


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"grpc.reflection.v1alpha.ServerReflection"}))
def test_every_field_of_a_request_is_named(name: str) -> None:
    fields = {field.name for method in SERVICES[name].methods for field in method.input_type.fields}
    assert fields <= named(SECTIONS[name])


def test_every_row_names_tests_that_exist() -> None:
    assert_every_row_names_tests_that_exist(TEXT)
