"""What one call came to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter


class Failure(Exception):
    """A call failed. ``str(error)`` is a short name of how, by which statistics count it; ``details`` are the server's
    words, and ``retry_after_s`` says when to try again."""

    def __init__(self, kind: str, details: str = "", retry_after_s: float = 0.0) -> None:
        super().__init__(kind)
        self.details = details
        self.retry_after_s = retry_after_s


@dataclass(slots=True)
class Outcome:
    """Seconds from the call's begin, to the first part of an answer in parts (else None), and to the end."""

    total_s: float = 0.0
    first_s: float | None = None
    num_bytes: int = 0
    error: Failure | None = None


class Watch:
    """Fills an outcome while its call runs. Use :func:`watching`."""

    def __init__(self) -> None:
        self.outcome = Outcome()
        self._begun = perf_counter()

    def read(self, num_bytes: int) -> None:
        """So much of the answer came."""
        self.outcome.num_bytes += num_bytes

    def part(self, num_bytes: int) -> None:
        """A part of an answer in parts came."""
        if self.outcome.first_s is None:
            self.outcome.first_s = perf_counter() - self._begun
        self.read(num_bytes)

    def end(self) -> None:
        """The call ended."""
        self.outcome.total_s = perf_counter() - self._begun


@contextmanager
def watching() -> Iterator[Watch]:
    """The time of what runs within; a :class:`Failure` of it becomes the outcome's."""
    watch = Watch()
    try:
        yield watch
    except Failure as failure:
        watch.outcome.error = failure
    finally:
        watch.end()


def parts_of(value: str) -> list[str]:
    """The words of a flag that takes several, with commas between."""
    return [part.strip() for part in value.split(",") if part.strip()]
