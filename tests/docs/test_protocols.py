"""The page of protocols names every call and field of every service, each with a test that exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from tests.docs.markdown import REPOSITORY
from tests.docs.tables import assert_every_row_names_tests_that_exist, named, rows, words

TEXT = (REPOSITORY / "docs" / "protocols.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### `([\w.]+)`[^\n]*\n(.*?)(?=^##|\Z)", TEXT, re.DOTALL | re.MULTILINE))


def services() -> Iterator[Any]:
    """Descriptors of all services that the proto room has, and of gRPC's own."""
    files = [health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR]
    for path in sorted((REPOSITORY / "proto").rglob("*_pb2.py")):
        name = ".".join(path.relative_to(REPOSITORY / "proto").with_suffix("").parts)
        files.append(import_module(name).DESCRIPTOR)
    for file in files:
        yield from file.services_by_name.values()


ALL = {service.full_name: service for service in services()}


def test_every_service_has_a_section() -> None:
    assert set(SECTIONS) == set(ALL)


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_call_has_a_row(name: str) -> None:
    found = words([row[0] for row in rows(SECTIONS[name])])
    assert found >= set(ALL[name].methods_by_name)


@pytest.mark.parametrize("name", sorted(set(ALL) - {"grpc.reflection.v1alpha.ServerReflection"}))
def test_every_field_of_a_request_is_named(name: str) -> None:
    fields = {field.name for method in ALL[name].methods for field in method.input_type.fields}
    assert fields <= named(SECTIONS[name])


def test_every_row_names_tests_that_exist() -> None:
    assert_every_row_names_tests_that_exist(TEXT)
