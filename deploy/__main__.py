"""`python -m deploy` writes the rules and dashboards."""

from __future__ import annotations

import sys

from deploy.files import HERE, files


def main() -> int:
    """Write those that have changed, and say which."""
    for path, text in files().items():
        file = HERE / path
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            print(f"wrote deploy/{path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
