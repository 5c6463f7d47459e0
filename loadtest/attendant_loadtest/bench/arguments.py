"""Lists among the command lines' arguments, for argparse's ``type``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence


def some_of(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """Reads names of ``known``, with commas between them; of "none", none."""

    def parse(text: str) -> tuple[str, ...]:
        found = tuple(text.split(",")) if text != "none" else ()
        if unknown := set(found) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: not among {', '.join(known)}")
        return found

    return parse


def numbers(text: str) -> tuple[int, ...]:
    """Reads numbers of at least 1, with commas between them."""
    found = tuple(int(part) for part in text.split(","))
    if min(found) < 1:
        raise argparse.ArgumentTypeError("every number must be at least 1")
    return found
