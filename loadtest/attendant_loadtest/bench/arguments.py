"""What the benchmarks' command lines have in common."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path


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


def add_rounds(parser: argparse.ArgumentParser) -> None:
    """How often to measure, how long to wait for a quiet machine, and where the figures go."""
    add = parser.add_argument
    add("--repeats", type=int, default=5, help="rounds; the table has their medians (default: 5)")
    add("--patience", type=float, default=10.0, help="seconds to wait for a quiet machine each time (default: 10)")
    add("--out", type=Path, help="write the table and all figures to this JSON file")


def end_on_sigterm() -> None:
    """Unwind on SIGTERM, so that the processes of the benchmark end, too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
