"""Generation over gRPC against peers in process: which workloads are measured, and what is read from them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from attendant_loadtest.bench.measurement import Measurement
from attendant_loadtest.bench.peers.kinds import KINDS, Made, Room
from attendant_loadtest.bench.peers.readings import QUIET, Reading, Round
from attendant_loadtest.bench.peers.standing import DECODE, FIRST, PROMPTS
from attendant_loadtest.bench.peers.table import OURS, Aim
from attendant_loadtest.bench.rounds import Measurable, Plan, Rounds
from attendant_loadtest.bench.served import served
from attendant_loadtest.bench.workload import Workload

PRECISIONS = ("int8", "int4", "mixed")
TRAINED = ("int8", "int8_blocks", "int4", "int4_small", "mixed")  # those that differ in fidelity, too
_PROMPTS = 8  # requests of which only the first token is wanted
_NEW = 64
_LEAST = 8  # requests of a measurement: a lone answer takes too short a time to tell
_BATCHED_TOKENS = 2048  # of a step, ours as theirs: all have room for the prompts that wait
_LOAD = 0.7  # share of the capacity at which requests arrive
_AIMS = {1: Aim(1.1), 8: Aim(1.25), 16: Aim(1.25)}


@dataclass(frozen=True, slots=True)
class Contest:
    """What is measured. ``arriving``: requests of a measurement of times to the first token; 0: none. ``per_s``: how
    many arrive a second; None: ``_LOAD`` of what the fastest peer can do. ``whole``: our server delivers answers in one
    piece, as the peers do, and not token by token."""

    concurrency: tuple[int, ...] = (1, 4, 8, 16)
    repeats: int = 5
    patience_s: float = 10.0
    arriving: int = 48
    per_s: float | None = None
    whole: bool = True

    @property
    def aims(self) -> dict[str, Aim | None]:
        """The aims by measure, in the order of the table."""
        aims = {tokens_per_s(c): _AIMS.get(c) for c in self.concurrency}
        late = dict(zip(FIRST, (Aim(1.0, least=False), Aim(0.5, least=False)), strict=True))
        return {**aims, DECODE: Aim(1.1), PROMPTS: Aim(1.0), **late}


def tokens_per_s(concurrency: int) -> str:
    """The measure's name."""
    return f"tokens/s, {concurrency}"


@dataclass(frozen=True, slots=True)
class Running:
    """Ways that run, and all their processes."""

    ways: Mapping[str, Measurable]
    pids: Sequence[int]


@contextmanager
def running(
    bundles: Mapping[str, Path],
    peers: Mapping[str, Made],
    progress: Callable[[str], None],
    *,
    room: Room | None = None,
    sequences: int = 32,
    batched_tokens: int = _BATCHED_TOKENS,
) -> Iterator[Running]:
    """Start servers of ``bundles``, by precision, and ``peers``, and end them afterwards.

    Args:
        room: of peers that ask.
        sequences, batched_tokens: of our servers.

    Raises:
        ServerFailed, PeerFailed: what did not work, and why.
    """
    with ExitStack() as stack:
        ways: dict[str, Measurable] = {}
        pids = [os.getpid()]
        for precision, bundle in bundles.items():
            progress(f"{precision}: loading")
            arguments = (
                *("--engine.max-num-seqs", str(sequences)),
                *("--engine.max-num-batched-tokens", str(batched_tokens)),
            )
            server = stack.enter_context(served(bundle, arguments))
            ways[f"{OURS} {precision}"] = server
            pids += server.pids
        for name, made in peers.items():
            progress(f"{name}: starting")
            peer = stack.enter_context(made.started(len(os.sched_getaffinity(0)), room or Room()))
            ways[name] = peer
            pids.append(peer.pid)
        yield Running(ways, pids)


def compare(contest: Contest, found: Running, vocab_size: int, progress: Callable[[str], None]) -> list[Round]:
    """Measures all ways in turn."""
    return _Measured(contest, found, vocab_size, progress).rounds()


@dataclass
class _Measured:
    contest: Contest
    running: Running
    vocab_size: int
    progress: Callable[[str], None]
    _rounds: list[dict[str, dict[str, Reading]]] = field(init=False)

    def __post_init__(self) -> None:
        self._rounds = [{} for _ in range(self.contest.repeats)]

    def rounds(self) -> list[Round]:
        """All of them."""
        contest, ways = self.contest, self.running.ways
        totals = self._run(self._plan(contest.concurrency, _NEW), ways)
        firsts = self._run(self._plan(tuple({1, _PROMPTS}), 1), ways)
        for c in contest.concurrency:
            self._take(tokens_per_s(c), totals[c], lambda m: m.tokens_per_s)
        if 1 in totals:
            alone = {way: list(map(_without, totals[1][way], firsts[1][way])) for way in ways}
            self._take(DECODE, alone, lambda m: m.tokens_per_s)
        self._take(PROMPTS, firsts[_PROMPTS], lambda m: m.prompt / m.wall_s)
        self._arriving()
        return list(self._rounds)

    def _arriving(self) -> None:
        contest = self.contest
        taking = {way: it for way, it in self.running.ways.items() if way.startswith(OURS) or KINDS[way].arrives}
        peers = [way for way in taking if not way.startswith(OURS)]
        most = max(contest.concurrency)
        if not contest.arriving or not (peers or contest.per_s):
            return
        capacity = max((one[tokens_per_s(most)][way].value for one in self._rounds for way in peers), default=0.0)
        per_s = contest.per_s or _LOAD * capacity / _NEW
        self.progress(f"{per_s:.2f} requests/s arrive")
        late = self._run(self._plan((most,), _NEW, per_s=per_s, waves=-(-contest.arriving // most)), taking)[most]
        for measure, share in zip(FIRST, (50, 99), strict=True):
            self._take(measure, late, partial(_figure, f"first_token_p{share}_ms"))

    def _take(
        self, measure: str, found: Mapping[str, list[Measurement]], figure: Callable[[Measurement], float]
    ) -> None:
        for number, one in enumerate(self._rounds):
            one[measure] = {way: Reading(figure(m[number]), m[number].others) for way, m in found.items()}

    def _plan(
        self, concurrency: tuple[int, ...], new_tokens: int, *, per_s: float | None = None, waves: int = 1
    ) -> Plan:
        contest = self.contest
        return Plan(
            concurrency,
            contest.repeats,
            waves,
            new_tokens=new_tokens,
            whole=contest.whole and per_s is None,
            per_s=per_s,
            quiet=QUIET,
            patience_s=contest.patience_s,
        )

    def _run(self, plan: Plan, ways: Mapping[str, Measurable]) -> dict[int, dict[str, list[Measurement]]]:
        several = {way: _Several(it) for way, it in ways.items()}
        results = Rounds(plan, self.vocab_size, self.running.pids).run(several, self.progress)
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
