"""The pages that are made from the code are those that the code makes."""

from __future__ import annotations

import pytest

from tests.docs.pages import DOCS, pages

PAGES = pages()


@pytest.mark.parametrize("path", PAGES)
def test_it_is_what_the_code_says(path: str) -> None:
    assert (DOCS / path).read_text(encoding="utf-8") == PAGES[path], "run: python -m tests.docs"
