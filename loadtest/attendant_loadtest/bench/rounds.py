"""Measures the three ways in turn, round by round, so that what changes on the machine hits all of them alike."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from attendant.bundle import read_manifest
from attendant.models.generators import load_generator
from attendant.settings import EngineSettings

from attendant_loadtest.bench.bare import BareLoop
from attendant_loadtest.bench.in_process import InProcessEngine
from attendant_loadtest.bench.measurement import Bystanders, Measurement, wait_until_quiet
from attendant_loadtest.bench.served import served
from attendant_loadtest.bench.workload import Workload

BARE, ENGINE, SERVER = "bare", "engine", "server"
WAYS = (BARE, ENGINE, SERVER)
_WARM_UP = 8  # new tokens of a request


class Measurable(Protocol):
    """A way of running a workload."""

    def measure(self, workload: Workload) -> Measurement: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure.

    Attributes:
        concurrency: requests at a time, each a row of the table.
        repeats: rounds.
        waves: requests of a measurement, in multiples of the concurrency.
        prompt_tokens, new_tokens: of each request.
        shortest: prompts are of this length to ``prompt_tokens``; None: all of that.
        whole: answers are delivered in one piece.
        per_s: see :class:`Workload`.
        quiet: processors that others may use; a measurement with more is repeated while patience lasts.
        patience_s: seconds to wait for a quiet machine, for each measurement.
    """

    concurrency: tuple[int, ...] = (1, 4, 8, 16)
    repeats: int = 5
    waves: int = 6
    prompt_tokens: int = 128
    new_tokens: int = 64
    shortest: int | None = None
    whole: bool = False
    per_s: float | None = None
    quiet: float = 0.1
    patience_s: float = 10.0


Results = dict[tuple[int, str], list[Measurement]]
"""Measurements by concurrency and way."""


def measure_bundle(bundle: Path, plan: Plan, progress: Callable[[str], None], server: Sequence[str] = ()) -> Results:
    """Measure the three ways over one bundle. ``server``: arguments for ``attendant serve``."""
    manifest = read_manifest(bundle)
    max_num_seqs = max(2, *plan.concurrency)
    settings = EngineSettings(max_num_seqs=max_num_seqs)
    progress(f"{manifest.name}: loading")
    engine = InProcessEngine(load_generator(bundle, manifest, settings))
    length = plan.prompt_tokens + plan.new_tokens
    bare = BareLoop(engine.timed.session, manifest, max_num_seqs, length)
    arguments = ("--engine.max-num-seqs", str(max_num_seqs), *server)
    with ExitStack() as stack:
        server_ = stack.enter_context(served(bundle, arguments))
        rounds = Rounds(plan, manifest.vocab_size, (os.getpid(), *server_.pids))
        return rounds.run({BARE: bare, ENGINE: engine, SERVER: server_}, progress)


class Rounds:
    """Measures ways in turn. ``pids``: of every process that takes part.

    Args:
        vocab_size: prompts are random tokens below it.
    """

    def __init__(self, plan: Plan, vocab_size: int, pids: Sequence[int]) -> None:
        self._plan = plan
        self._vocab_size = vocab_size
        self._pids = pids
        self._seed = 0

    def run(self, ways: Mapping[str, Measurable], progress: Callable[[str], None]) -> Results:
        """Every way at every concurrency, ``repeats`` times, after a warm-up of each."""
        plan = self._plan
        found: Results = {(c, way): [] for c in plan.concurrency for way in ways}
        for concurrency in plan.concurrency:
            for way in ways.values():  # warm up: arenas, bindings, connections
                way.measure(replace(self._workload(concurrency, 1), new_tokens=min(_WARM_UP, plan.new_tokens)))
        for number in range(plan.repeats):
            for concurrency in plan.concurrency:
                for name, way in ways.items():
                    measurement = self._quietly(way, concurrency)
                    found[concurrency, name].append(measurement)
                    progress(
                        f"round {number + 1}/{plan.repeats}, concurrency {concurrency}, {name}: "
                        f"{measurement.tokens_per_s:.0f} tokens/s, others used {measurement.others:.2f} processors"
                    )
        return found

    def _quietly(self, way: Measurable, concurrency: int) -> Measurement:
        """Measure while others use little of the machine; the least disturbed of three tries if they never do."""
        best: Measurement | None = None
        for _ in range(3):
            quiet = wait_until_quiet(self._pids, self._plan.quiet, self._plan.patience_s)
            bystanders = Bystanders(self._pids)
            measurement = way.measure(self._workload(concurrency, self._plan.waves))
            measurement = replace(measurement, others=bystanders.cores())
            if best is None or measurement.others < best.others:
                best = measurement
            if best.others <= self._plan.quiet or not quiet:
                break
        assert best is not None
        return best

    def _workload(self, concurrency: int, waves: int) -> Workload:
        plan = self._plan
        self._seed += 1
        num_requests = concurrency * waves
        return Workload(
            concurrency,
            num_requests,
            plan.prompt_tokens,
            plan.new_tokens,
            self._vocab_size,
            self._seed,
            plan.shortest,
            plan.whole,
            plan.per_s,
        )


def on_stderr(line: str) -> None:
    """Progress for a person."""
    print(line, file=sys.stderr, flush=True)
