"""Which sequences cannot meet their deadline any more, whatever is done: they are ended before they cost a step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attendant.core.errors import DeadlineExceeded
from attendant.engine.pace_learner import PaceLearner
from attendant.engine.pool import KVPool
from attendant.engine.sequence import Sequence

LOOK_EVERY_NS = 20_000_000
"""Nanoseconds between two looks at those that run."""

DOUBT = 0.95
"""Share of the time that the rest seems to take: only who is late even so is given up."""


class Hopeless:
    """Finds them, among sequences whose requests ask for it. Those that go on beside them are taken to go on, if others
    wait to take their places; else, to end at once. One that has the engine for itself goes on: it takes time
    from nobody, and shows how long steps take now."""

    def __init__(self, paces: PaceLearner, pool: KVPool) -> None:
        self._paces = paces
        self._pool = pool
        self._looked_ns = 0

    def waits_in_vain(self, sequence: Sequence, now_ns: int, running: Iterable[Sequence], num_waiting: int) -> bool:
        """Whether a sequence that is about to get a place should get none. ``num_waiting``: itself included."""
        if not _may_be_ended(sequence) or not self._paces.pace.is_sure:
            return False
        rows, context = _work_of(running)
        if not rows and num_waiting <= 1:
            return False
        if num_waiting <= 1:
            rows = context = 0
        return self._is_late(sequence, now_ns, rows + 1, context + sequence.num_tokens)

    def run_in_vain(self, running: Iterable[Sequence], now_ns: int, num_waiting: int) -> Iterator[Sequence]:
        """Those that run in vain."""
        if now_ns - self._looked_ns < LOOK_EVERY_NS or not self._paces.pace.is_sure:
            return
        self._looked_ns = now_ns
        candidates = [sequence for sequence in running if _may_be_ended(sequence)]
        if not candidates:
            return
        rows, context = _work_of(running)
        if rows <= 1 and not num_waiting:
            return
        for sequence in candidates:
            company = (rows, context) if num_waiting else (1, sequence.num_tokens)
            if self._is_late(sequence, now_ns, *company):
                yield sequence

    def _is_late(self, sequence: Sequence, now_ns: int, rows: int, context: int) -> bool:
        deadline_ns = sequence.request.deadline_ns
        assert deadline_ns is not None, "it may be ended"
        pace, missing = self._paces.pace, sequence.num_prefill_missing
        if sequence.slot is None and missing:
            stats = self._pool.prefix_stats
            missing = round(missing * (1 - stats.hits / max(stats.queries, 1)))
        left = sequence.request.sure_tokens - (sequence.num_tokens - sequence.num_prompt)
        decodes = max(left - (1 if missing else 0), 0)
        seconds = pace.prompt_s(sequence.num_computed, missing, sequence.memories.num_missing)
        seconds += pace.step if missing else 0.0
        seconds += decodes * pace.decode_s(rows, context)
        return now_ns + DOUBT * seconds * 1e9 > deadline_ns


def too_late() -> DeadlineExceeded:
    """What such a sequence ends with."""
    return DeadlineExceeded("the deadline could not be met any more")


def _may_be_ended(sequence: Sequence) -> bool:
    request = sequence.request
    return request.ends_hopeless and request.deadline_ns is not None


def _work_of(running: Iterable[Sequence]) -> tuple[int, int]:
    """Rows that decode, or will, and positions that they attend to."""
    working = [sequence for sequence in running if not sequence.parked]
    return len(working), sum([sequence.num_tokens for sequence in working])
