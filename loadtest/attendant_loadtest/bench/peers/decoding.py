"""Generation over gRPC against peers in process: which workloads are measured, and what is read from them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from attendant_loadtest.bench.bundles import VOCABULARY, bench_bundle
from attendant_loadtest.bench.measurement import Measurement
from attendant_loadtest.bench.peers.kinds import KINDS, peer
from attendant_loadtest.bench.peers.table import OURS, Aim, Row, row
from attendant_loadtest.bench.rounds import Measurable, Plan, Rounds
from attendant_loadtest.bench.served import served
from attendant_loadtest.bench.workload import Workload

PRECISIONS = ("fp32", "int8", "int4", "mixed")
_PROMPTS = 8  # requests of which only the first token is wanted
_LEAST = 8  # requests of a measurement: a lone answer takes too short a time to tell
_AIMS = {1: None, 4: None, 8: Aim(1.25), 16: Aim(1.25)}
_BATCHED_TOKENS = 2048  # of a step, ours as theirs: all have room for the prompts that wait
_LOAD = 0.7  # share of the capacity at which requests arrive


@dataclass(frozen=True, slots=True)
class Contest:
    """What is measured. ``arriving``: requests of a measurement of times to the first token; 0: none.
    ``whole``: our server delivers answers in one piece, as the peers do, and not token by token."""

    precisions: tuple[str, ...] = PRECISIONS[1:]
    peers: tuple[str, ...] = ()
    concurrency: tuple[int, ...] = (1, 4, 8, 16)
    repeats: int = 5
    patience_s: float = 10.0
    arriving: int = 48
    whole: bool = True


def compare(contest: Contest, cache: Path, progress: Callable[[str], None]) -> list[Row]:
    """Measures all ways in turn, over the same weights.

    Raises:
        BundleNotMade, ServerFailed, PeerFailed: what did not work, and why.
    """
    threads = len(os.sched_getaffinity(0))
    with ExitStack() as stack:
        ways: dict[str, Measurable] = {}
        pids = [os.getpid()]
        for precision in contest.precisions:
            progress(f"{precision}: loading")
            arguments = (
                *("--engine.max-num-seqs", str(2 * max(*contest.concurrency, _PROMPTS))),
                *("--engine.max-num-batched-tokens", str(_BATCHED_TOKENS)),
            )
            server = stack.enter_context(served(bench_bundle(cache, precision), arguments))
            ways[f"{OURS} {precision}"] = server
            pids += server.pids
        for name in contest.peers:
            progress(f"{name}: starting, installed and converted first where that has not been done")
            running = stack.enter_context(peer(name, cache / "source", cache / "peers", threads))
            ways[name] = running
            pids.append(running.pid)
        return _Measured(contest, ways, pids, progress).rows()


class _Measured:
    def __init__(
        self, contest: Contest, ways: Mapping[str, Measurable], pids: Sequence[int], progress: Callable[[str], None]
    ) -> None:
        self._contest = contest
        self._ways = ways
        self._pids = pids
        self._progress = progress

    def rows(self) -> list[Row]:
        """The whole table."""
        quiet = self._plan((1,), 1).quiet
        totals = self._run(self._plan(self._contest.concurrency, 64), self._ways)
        firsts = self._run(self._plan(tuple({1, _PROMPTS}), 1), self._ways)
        found = [
            row(f"total tokens/s, {c} at once", totals[c], lambda m: m.tokens_per_s, _AIMS.get(c), quiet)
            for c in self._contest.concurrency
        ]
        if 1 in totals:
            alone = {
                way: [_without(one, first) for one, first in zip(totals[1][way], firsts[1][way], strict=True)]
                for way in self._ways
            }
            found.append(row("decode tokens/s, 1 alone", alone, lambda m: m.tokens_per_s, Aim(1.1), quiet))
        what = f"prompt tokens/s, {_PROMPTS} prompts at once"
        found.append(row(what, firsts[_PROMPTS], lambda m: m.prompt / m.wall_s, Aim(1.0), quiet))
        arriving = {way: it for way, it in self._ways.items() if way.startswith(OURS) or KINDS[way].arrives}
        if self._contest.arriving and any(not way.startswith(OURS) for way in arriving):
            most = max(self._contest.concurrency)
            largest = found[self._contest.concurrency.index(most)].figures
            capacity = max(largest[way] for way in arriving if not way.startswith(OURS))
            per_s = _LOAD * capacity / 64
            plan = self._plan((most,), 64, per_s=per_s, waves=-(-self._contest.arriving // most))
            late = self._run(plan, arriving)[most]
            for share, aim in ((50, Aim(1.0, least=False)), (99, Aim(0.5, least=False))):
                what = f"time to first token p{share}, ms, {per_s:.1f} requests/s"
                found.append(row(what, late, partial(_figure, f"first_token_p{share}_ms"), aim, quiet))
        return found

    def _plan(
        self, concurrency: tuple[int, ...], new_tokens: int, *, per_s: float | None = None, waves: int = 1
    ) -> Plan:
        contest = self._contest
        return Plan(
            concurrency,
            contest.repeats,
            waves,
            new_tokens=new_tokens,
            whole=contest.whole and per_s is None,
            per_s=per_s,
            patience_s=contest.patience_s,
        )

    def _run(self, plan: Plan, ways: Mapping[str, Measurable]) -> dict[int, dict[str, list[Measurement]]]:
        several = {way: _Several(it) for way, it in ways.items()}
        results = Rounds(plan, VOCABULARY, self._pids).run(several, self._progress)
        return {c: {way: results[c, way] for way in ways} for c in plan.concurrency}


class _Several:
    """A way that runs a small workload again, with other prompts, until ``_LEAST`` requests have been answered."""

    def __init__(self, way: Measurable) -> None:
        self._way = way

    def measure(self, workload: Workload) -> Measurement:
        times = 1 if workload.per_s else -(-_LEAST // workload.num_requests)
        found = [self._way.measure(replace(workload, seed=workload.seed * _LEAST + i)) for i in range(times)]
        return Measurement(
            sum(one.generated for one in found),
            sum(one.prompt for one in found),
            sum(one.wall_s for one in found),
            figures=found[-1].figures,
        )


def _figure(name: str, found: Measurement) -> float:
    return found.figures[name]


def _without(whole: Measurement, first: Measurement) -> Measurement:
    """What an answer takes after its first token."""
    return Measurement(
        whole.generated - first.generated, 0, whole.wall_s - first.wall_s, max(whole.others, first.others)
    )
