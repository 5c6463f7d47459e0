"""The page of protocols names every call and field of every service, each with a test that exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import Any

import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from tests.docs.markdown import REPOSITORY

TEXT = (REPOSITORY / "docs" / "protocols.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### `([\w.]+)`[^\n]*\n(.*?)(?=^##|\Z)", TEXT, re.DOTALL | re.MULTILINE))
TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")


def services() -> Iterator[Any]:
    """Descriptors of all services that the proto room has, and of gRPC's own."""
    files = [health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR]
    for path in sorted((REPOSITORY / "proto").rglob("*_pb2.py")):
        name = ".".join(path.relative_to(REPOSITORY / "proto").with_suffix("").parts)
        files.append(import_module(name).DESCRIPTOR)
    for file in files:
        yield from file.services_by_name.values()


ALL = {service.full_name: service for service in services()}


def rows(section: str) -> list[list[str]]:
    """The cells of a section's tables, without their heads."""
    lines = [line for line in section.splitlines() if line.startswith("|")]
    ruled = [n for n, line in enumerate(lines) if line.startswith("|---")]
    heads = {number for rule in ruled for number in (rule - 1, rule)}
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for n, line in enumerate(lines) if n not in heads
    ]


def words(cells: list[str]) -> set[str]:
    """What stands in code, but for names of tests."""
    return {word for cell in cells for word in re.findall(r"`([\w.-]+)`", cell)}


def test_every_service_has_a_section() -> None:
    assert set(SECTIONS) == set(ALL)


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_call_has_a_row(name: str) -> None:
    found = words([row[0] for row in rows(SECTIONS[name])])
    assert found >= set(ALL[name].methods_by_name)


@pytest.mark.parametrize("name", sorted(set(ALL) - {"grpc.reflection.v1alpha.ServerReflection"}))
def test_every_field_of_a_request_is_named(name: str) -> None:
    found = words([cell for row in rows(SECTIONS[name]) for cell in row[:-1]])
    fields = {field.name for method in ALL[name].methods for field in method.input_type.fields}
    assert fields <= found


def test_every_row_names_tests_that_exist() -> None:
    every = rows(TEXT)
    assert every
    for row in every:
        found = TEST.findall(row[-1])
        assert found, f"no test: {row}"
        lost = [f"{file}::{test}" for file, test in found if test not in functions_of(file)]
        assert not lost


@cache
def functions_of(file: str) -> frozenset[str]:
    """The functions of a file of tests; none if there is no such file."""
    path = REPOSITORY / "tests" / file
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
