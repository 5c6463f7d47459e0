"""More calls than a model that encodes can do, on a clock of the test's own: the real queue, policy and backlog, and
runs that take what they say. Nothing here depends on how busy a machine is."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from attendant.batching.policy import NEAR, Batch, BatchLimits, choose
from attendant.batching.queue import RowQueue
from attendant.core.encoding import BatchStats, Row
from attendant.core.errors import DeadlineExceeded, WouldBeLate
from attendant.frontend.encoding.backlog import Backlog
from attendant.frontend.timely import Promise

from tests.frontend.encoding.hub_helpers import load
from tests.synthetic_encoder import make_text_encoder

S = 1_000_000_000
TEXTS, DEADLINE_S, RUN_S, TOKEN_S = 4, 2.0, 0.004, 0.0003
CAPACITY = 1 / (TEXTS * 32 * TOKEN_S)
"""Calls a second, if runs cost nothing but their tokens."""

LIMITS = BatchLimits("packed", 2048, 64, view=(1.1, 64), near=(NEAR[0], 2048 // NEAR[1]), predict=True)


@dataclass
class Call:
    """A call that was let in."""

    at_ns: int
    promise: Promise
    left: int = TEXTS


@dataclass
class World:
    """One model and its clock. ``took_s``: of calls that were answered."""

    backlog: Backlog
    draw: np.random.Generator
    now_ns: int = 10**12
    queue: RowQueue = field(default_factory=RowQueue)
    calls: dict[str, Call] = field(default_factory=dict)
    took_s: list[float] = field(default_factory=list)
    num_late: int = 0
    num_refused: int = 0

    def comes(self, name: str) -> None:
        """A call comes."""
        sizes = self.draw.integers(16, 49, TEXTS).tolist()
        by_ns = self.now_ns + int(DEADLINE_S * S)
        ids = {"input_ids": np.zeros(0)}
        rows = [Row(f"{name}#{i}", ids, size, self.now_ns, by_ns) for i, size in enumerate(sizes)]
        try:
            promise = self.backlog.check(rows, TEXTS)
        except WouldBeLate:
            self.num_refused += 1
            return
        self.backlog.add(rows)
        for row in rows:
            self.queue.add(row, self.now_ns)
        self.calls[name] = Call(self.now_ns, promise)

    def begins(self) -> tuple[Batch, int] | None:
        """The next batch, and how many nanoseconds it takes; rows that are late end before."""
        while len(self.queue):
            batch = choose(self.queue, LIMITS, self.now_ns)
            late = {row.id.partition("#")[0] for row in batch.rows if (row.deadline_ns or 0) <= self.now_ns}
            for name in late:
                for row in [self.queue.take(f"{name}#{i}") for i in range(TEXTS)]:
                    if row is not None:
                        self.backlog.remove(row)
                self.num_late += 1
                self.calls.pop(name).promise.__exit__(DeadlineExceeded)
            if not late:
                for row in batch.rows:
                    self.queue.take(row.id)
                noise = float(self.draw.lognormal(0, 0.05))
                return batch, int((RUN_S + TOKEN_S * batch.size) * noise * S)
        return None

    def ends(self, batch: Batch, took_ns: int) -> None:
        """It is over."""
        for row in batch.rows:
            self.backlog.remove(row)
            call = self.calls.get(name := row.id.partition("#")[0])
            if call is None:
                continue
            call.left -= 1
            if not call.left:
                del self.calls[name]
                call.promise.__exit__(None)
                took_s = (self.now_ns - call.at_ns) / S
                self.took_s.append(took_s)
                self.num_late += took_s > DEADLINE_S
        stats = BatchStats(len(batch.rows), batch.size, batch.size, took_ns, len(self.queue), turn_ns=took_ns)
        self.backlog.ran(stats)


@pytest.mark.parametrize("load_factor", [1.5, 3.0])
def test_promises_hold_and_leave_little_room(
    load_factor: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = load(make_text_encoder(tmp_path / "moods"))
    world = World(Backlog(replace(part, limits=LIMITS)), np.random.default_rng(5))
    monkeypatch.setattr(time, "monotonic_ns", lambda: world.now_ns)
    seconds, begin_ns = 40.0, world.now_ns
    arrivals = begin_ns + (world.draw.exponential(1 / load_factor / CAPACITY, 4000).cumsum() * S).astype(np.int64)
    coming = [int(at) for at in arrivals if at < begin_ns + seconds * S]
    running: tuple[Batch, int] | None = None
    ends_ns = 0
    for number, at_ns in enumerate(coming):
        while running is not None and ends_ns <= at_ns:
            world.now_ns = ends_ns
            world.ends(*running)
            running = world.begins()
            ends_ns = world.now_ns + (running[1] if running is not None else 0)
        world.now_ns = at_ns
        world.comes(str(number))
        if running is None:
            running = world.begins()
            ends_ns = world.now_ns + (running[1] if running is not None else 0)
    answered = len(world.took_s)
    assert world.num_refused > 0.2 * len(coming)
    assert world.num_late / (answered + world.num_late) < 0.02, "few promises are broken"
    assert answered / seconds > 0.9 * CAPACITY, "no work is left undone"
    assert float(np.median(world.took_s)) > 0.7 * DEADLINE_S, "whoever could be in time is let in, but for the room"
