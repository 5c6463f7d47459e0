"""The page of promises has each part of the house, and each test that it names exists."""

from __future__ import annotations

import re

from tests.docs.markdown import REPOSITORY
from tests.docs.tables import assert_every_row_names_tests_that_exist, rows

TEXT = (REPOSITORY / "docs" / "promises.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE))
PARTS = (
    "Answers",
    "Overload",
    "Fairness",
    "Security",
    "Limits",
    "Lifecycle",
    "Faults",
    "Many servers",
    "Exports",
    "Load tests",
    "Soak",
)


def test_every_part_makes_promises() -> None:
    assert tuple(SECTIONS) == PARTS
    assert all(rows(section) for section in SECTIONS.values())


def test_every_promise_names_tests_that_exist() -> None:
    assert_every_row_names_tests_that_exist(TEXT)
