"""What the exporter tells while it works: one line per stage."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Progress = Callable[[str], AbstractContextManager[None]]


@contextmanager
def silent(stage: str) -> Iterator[None]:
    """Tells nothing."""
    yield


@contextmanager
def on_stderr(stage: str) -> Iterator[None]:
    """Prints a stage and, once it is done, how many seconds it took."""
    start = time.perf_counter()
    print(f"{stage:<10}", end="", file=sys.stderr, flush=True)
    try:
        yield
    except BaseException:
        print("failed", file=sys.stderr, flush=True)
        raise
    print(f"{time.perf_counter() - start:8.1f} s", file=sys.stderr, flush=True)
