"""`python -m tests.docs` writes the pages that are made from the code."""

from __future__ import annotations

import sys

from tests.docs.pages import DOCS, pages


def main() -> int:
    """Write those that have changed, and say which."""
    for path, text in pages().items():
        file = DOCS / path
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")
            print(f"wrote docs/{path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
