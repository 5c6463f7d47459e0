"""Tables of pages that name, in each row's last cell, the tests that hold what the row says."""

from __future__ import annotations

import ast
import re
from functools import cache

from tests.docs.markdown import REPOSITORY

TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")


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


def named(section: str) -> set[str]:
    """What the rows of a section are about: words of all cells but the last."""
    return words([cell for row in rows(section) for cell in row[:-1]])


def assert_every_row_names_tests_that_exist(page: str) -> None:
    """As it says, for all tables of a page's text."""
    every = rows(page)
    assert every
    for row in every:
        found = TEST.findall(row[-1])
        assert found, f"no test: {row}"
        lost = [f"{file}::{test}" for file, test in found if test not in functions_of(file)]
        assert not lost, f"tests that do not exist: {lost}"


@cache
def functions_of(file: str) -> frozenset[str]:
    """The functions of a file of tests; none if there is no such file."""
    path = REPOSITORY / "tests" / file
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
