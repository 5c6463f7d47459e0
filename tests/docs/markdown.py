"""The blocks of code in README.md, CONTRIBUTING.md and docs/."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```\n*(.*?)$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A block of code. ``after``: the line that follows it."""

    page: str
    language: str
    text: str
    after: str


@cache
def pages() -> tuple[str, ...]:
    """Paths of all pages, from the top of the repository."""
    docs = sorted(str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "docs").rglob("*.md"))
    return ("README.md", "CONTRIBUTING.md", *docs)


@cache
def blocks(language: str) -> tuple[Block, ...]:
    """The blocks of one language, of all pages."""
    found = []
    for page in pages():
        text = (REPOSITORY / page).read_text(encoding="utf-8")
        found += [Block(page, *map(str, match)) for match in BLOCK.findall(text)]
    return tuple(block for block in found if block.language == language)


def commands() -> dict[str, str]:
    """Every line of the shell blocks, each with the first page that has it."""
    found: dict[str, str] = {}
    for block in blocks("sh"):
        for line in block.text.splitlines():
            if line.strip():
                found.setdefault(line, block.page)
    return found
