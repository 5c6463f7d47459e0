"""A table that is written anew while requests are made."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from attendant_loadtest.openloop.figures import Times
from attendant_loadtest.openloop.loop import Run
from attendant_loadtest.openloop.samples import ANSWERED, FAILED, LATE, REFUSED

LATELY_S = 5.0
HEADS = ("due", "made", "under way", "answered", "not", "tokens/s", "TTFT p50", "p99", "inter-token p99", "client late")


class Live:
    """Shows a run that goes on: two lines on a terminal, again and again in their place; elsewhere nothing.

    Args:
        name: of what is shown, as ``4 requests/s``.
    """

    def __init__(self, name: str, stream: TextIO | None = None) -> None:
        self._name, self._stream = name, stream or sys.stderr
        self._shows = self._stream.isatty()
        self._drawn = False
        self._next_s = 0.0

    def show(self, run: Run) -> None:
        """Draw it, at most twice a second."""
        now = time.monotonic()
        if self._shows and now >= self._next_s:
            self._next_s = now + 0.5
            self._draw(run)

    def clear(self) -> None:
        """Take it away again."""
        if self._drawn:
            self._stream.write("\x1b[2F\x1b[J")
            self._stream.flush()
            self._drawn = False

    def _draw(self, run: Run) -> None:
        self.clear()
        values = cells(run)
        width = [max(len(head), len(value)) for head, value in zip(HEADS, values, strict=True)]
        for row in (HEADS, values):
            shown = "  ".join(value.rjust(size) for value, size in zip(row, width, strict=True))
            name = (self._name if row is values else "").ljust(len(self._name))
            self._stream.write(f"{name}  {shown}\n")
        self._stream.flush()
        self._drawn = True


def cells(run: Run) -> tuple[str, ...]:
    """What a row of the table says; times of the last seconds."""
    now_s = run.now_s()
    made = [each for each in run.samples if each.sent_s is not None]
    lately = [each for each in made if (each.last_s or 0.0) >= now_s - LATELY_S]
    ttft = Times.of([each.ttft_s for each in lately if each.ttft_s is not None])
    itl = Times.of([each.itl_s for each in lately if each.itl_s is not None])
    late = [each.lateness_s for each in made[-200:] if each.lateness_s is not None]
    tokens = sum(each.tokens * min(1.0, LATELY_S / max(1e-9, now_s - (each.first_s or 0.0))) for each in lately)
    return (
        str(sum(each.planned.at_s <= now_s for each in run.samples)),
        f"{len(made)} of {len(run.samples)}",
        str(sum(each.end_s is None for each in made)),
        str(sum(each.how == ANSWERED for each in made)),
        str(sum(each.how in (REFUSED, LATE, FAILED) for each in made)),
        f"{tokens / min(LATELY_S, max(now_s, 1e-9)):.0f}" if now_s > 0 else "",
        f"{ttft.by_percentile[50]:.0f} ms" if ttft else "",
        f"{ttft.by_percentile[99]:.0f} ms" if ttft else "",
        f"{itl.by_percentile[99]:.1f} ms" if itl else "",
        f"{max(late) * 1e3:.0f} ms" if late else "",
    )
