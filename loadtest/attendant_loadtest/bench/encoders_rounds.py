"""Measures one model's bundles in turn, round by round, so that what changes on the machine hits all of them alike."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from attendant.bundle import EncoderManifest, read_any_manifest
from attendant.core.errors import BundleError
from attendant.models.encoders import EncoderPart, load_encoder
from attendant.models.memory import available_processors
from attendant.settings import EncoderSettings

from attendant_loadtest.bench.encoders_in_process import BareSession, PaddedBatcher
from attendant_loadtest.bench.encoders_measurement import Encoded
from attendant_loadtest.bench.encoders_padded import padded_session
from attendant_loadtest.bench.encoders_peers import Infinity
from attendant_loadtest.bench.encoders_served import ServedEncoder, served_encoder
from attendant_loadtest.bench.encoders_workload import Texts, mixed_lengths
from attendant_loadtest.bench.measurement import Bystanders, wait_until_quiet

LIMIT, WIDE, LOADED = "limit", "wide", "loaded"
PADDED, MIXED = "padded", "mixed"
ALONE_BARE, ALONE = "alone bare", "alone"
PEER_LOADED, PEER_MIXED = "peer loaded", "peer mixed"
KINDS = (LIMIT, WIDE, LOADED, PADDED, MIXED, ALONE_BARE, ALONE)
"""What is measured: bare runs of equal rows in the best batch size and in ``wide_batch``, the server under the same
load; mixed lengths in padded batches and on the server; one row at a time, bare and on the server."""

_SLICE = 5
"""Rows of one client alone before the other way has its turn."""

_PAUSE_S = 0.05
"""Between slices: threads of the way before have stopped spinning."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure.

    Attributes:
        repeats: rounds.
        seconds: of each measurement, about; at least a full batch, and for mixed lengths ``clients`` rows, twice.
        length: tokens of rows that are equally long.
        shortest, longest: of mixed rows.
        clients: calls at a time under load.
        batches: sizes of which the fastest is the limit. wide_batch: at which precisions are compared.
        alone: calls of one client alone.
        quiet, patience_s: as of :class:`attendant_loadtest.bench.rounds.Plan`.
    """

    repeats: int = 5
    seconds: float = 10.0
    length: int = 128
    shortest: int = 8
    longest: int = 512
    clients: int = 64
    batches: tuple[int, ...] = (4, 8, 16, 32)
    wide_batch: int = 32
    alone: int = 40
    quiet: float = 0.1
    patience_s: float = 10.0


Round = dict[str, Encoded]
"""Measurements of one precision in one round, by kind."""


@dataclass(frozen=True, slots=True)
class Results:
    """The results of one bundle: its best batch size, and its rounds."""

    best_batch: int
    rounds: list[Round]


class Subject:
    """One bundle: its bare session, its server, and how long their measurements must be.

    Raises:
        BundleError: the bundle is not one whose texts a client could send.
    """

    def __init__(self, path: Path, model: EncoderPart, server: ServedEncoder, plan: Plan) -> None:
        if model.tokenizer is None or model.task not in ("classify", "embed") or model.limits.layout != "packed":
            raise BundleError(path, "the benchmark is for packed text encoders of task classify or embed")
        session: Any = model.runner
        self.bare = BareSession(session._session, model.manifest)
        padded = BareSession(padded_session(path, model.manifest, available_processors()), model.manifest)
        self.padded = PaddedBatcher(padded, model.limits.max_rows, model.max_batch_tokens)
        self.server = server
        self.peer: Infinity | None = None
        self.plan = plan
        self._texts = Texts(model.tokenizer)
        self._longest = min(plan.longest, self.bare.spec.max_tokens)
        self._seed = 0
        self.best_batch, self.per_s = self._scan()

    def measurements(self) -> Iterator[tuple[str, Callable[[], Encoded]]]:
        """Each kind that stands alone, with its measurement."""
        plan = self.plan
        equal = self._equal(max(self._count(self.per_s), 2 * plan.clients))
        ids = [self._texts.ids(text) for text in equal]
        yield LIMIT, lambda: self.bare.measure(ids, self.best_batch)
        yield LOADED, lambda: self.server.measure(equal, plan.clients)
        if self.peer is not None:
            yield PEER_LOADED, partial(self.peer.measure, equal, plan.clients)
        mixed = self._mixed(max(self._count(self.per_s), 3 * plan.clients))
        mixed_ids = [self._texts.ids(text) for text in mixed]
        yield PADDED, lambda: self.padded.measure(mixed_ids, plan.clients)
        yield MIXED, lambda: self.server.measure(mixed, plan.clients)
        if self.peer is not None:
            yield PEER_MIXED, partial(self.peer.measure, mixed, plan.clients)

    def wide(self) -> Encoded:
        """Bare runs in the batch size at which precisions are compared."""
        batch = self.plan.wide_batch
        texts = self._equal(max(1, round(self.per_s * self.plan.seconds / 2 / batch)) * batch)
        return self.bare.measure([self._texts.ids(text) for text in texts], batch)

    def alone(self) -> Round:
        """One client alone, a few calls and a few bare runs in turn."""
        found: dict[str, list[Encoded]] = {ALONE_BARE: [], ALONE: []}
        texts = self._equal(self.plan.alone)
        for first in range(0, len(texts), _SLICE):
            some = texts[first : first + _SLICE]
            found[ALONE_BARE].append(self.bare.measure([self._texts.ids(text) for text in some], 1))
            time.sleep(_PAUSE_S)
            found[ALONE].append(self.server.measure(some, 1))
            time.sleep(_PAUSE_S)
        return {kind: _joined(parts) for kind, parts in found.items()}

    def _scan(self) -> tuple[int, float]:
        """The batch size that is fastest bare, and its sequences a second; warms everything up."""
        plan = self.plan
        rows = [self._texts.ids(text) for text in self._equal(max(plan.batches))]
        for batch in plan.batches:
            self.bare.measure(rows[:batch], batch)
        speeds = dict.fromkeys(plan.batches, 0.0)
        for _ in range(3):
            for batch in plan.batches:
                speeds[batch] = max(speeds[batch], self.bare.measure(rows, batch).per_s)
        self.server.measure(self._equal(plan.clients), plan.clients)
        best = max(speeds, key=lambda batch: speeds[batch])
        return best, speeds[best]

    def _count(self, per_s: float) -> int:
        batch = max(self.best_batch, self.plan.wide_batch)
        return max(1, round(per_s * self.plan.seconds / batch)) * batch

    def _equal(self, count: int) -> list[str]:
        self._seed += 1
        return self._texts.of_lengths([min(self.plan.length, self._longest)] * count, self._seed)

    def _mixed(self, count: int) -> list[str]:
        self._seed += 1
        lengths = mixed_lengths(count, self.plan.shortest, self._longest, self._seed)
        return self._texts.of_lengths(lengths, self._seed)


def measure_encoders(
    bundles: Mapping[str, Path],
    plan: Plan,
    progress: Callable[[str], None],
    arguments: Sequence[str] = (),
    peer: Infinity | None = None,
) -> dict[str, Results]:
    """Measure bundles of one model, by name of their precision. ``arguments``: for ``attendant serve``; ``peer``: of
    the same model, measured beside the fp32 bundle."""
    with ExitStack() as stack:
        subjects = {}
        for name, path in bundles.items():
            progress(f"{name}: loading")
            subjects[name] = stack.enter_context(_subject(path, plan, arguments))
            progress(f"{name}: batches of {subjects[name].best_batch}: {subjects[name].per_s:.1f} sequences/s bare")
        if peer is not None and "fp32" in subjects:
            subjects["fp32"].peer = peer
            peer.measure(["warm up"] * plan.clients, plan.clients)
        pids = (
            os.getpid(),
            *([peer.pid] if peer else ()),
            *(pid for subject in subjects.values() for pid in subject.server.pids),
        )
        found = {name: Results(subject.best_batch, []) for name, subject in subjects.items()}
        for number in range(plan.repeats):
            told = {name: _prefixed(progress, f"round {number + 1}/{plan.repeats}, {name}, ") for name in subjects}
            # One straight after the other: they are compared with each other.
            wide = {name: _quietly(WIDE, subjects[name].wide, plan, pids, told[name]) for name in subjects}
            for name, subject in subjects.items():
                found[name].rounds.append({WIDE: wide[name], **_round(subject, plan, pids, told[name])})
        return found


def _quietly(
    kind: str, measure: Callable[[], Encoded], plan: Plan, pids: Sequence[int], progress: Callable[[str], None]
) -> Encoded:
    wait_until_quiet(pids, plan.quiet, plan.patience_s)
    bystanders = Bystanders(pids)
    measured = measure()
    measured = replace(measured, others=bystanders.cores())
    progress(
        f"{kind}: {measured.per_s:.1f} sequences/s, p99 {measured.latency_ms(0.99):.0f} ms, "
        f"others used {measured.others:.2f} processors"
    )
    return measured


def _round(subject: Subject, plan: Plan, pids: Sequence[int], progress: Callable[[str], None]) -> Round:
    found = {kind: _quietly(kind, measure, plan, pids, progress) for kind, measure in subject.measurements()}
    wait_until_quiet(pids, plan.quiet, plan.patience_s)
    bystanders = Bystanders(pids)
    alone = subject.alone()
    others = bystanders.cores()
    progress(
        f"one client: {alone[ALONE].latency_ms(0.5):.2f} ms, bare {alone[ALONE_BARE].latency_ms(0.5):.2f} ms, "
        f"others used {others:.2f} processors"
    )
    return found | {kind: replace(measured, others=others) for kind, measured in alone.items()}


@contextmanager
def _subject(path: Path, plan: Plan, arguments: Sequence[str]) -> Iterator[Subject]:
    manifest = read_any_manifest(path)
    if not isinstance(manifest, EncoderManifest):
        raise BundleError(path, "generates; this benchmark is for models that encode")
    model = load_encoder(path, manifest, EncoderSettings(), verify=False)
    with served_encoder(path, manifest.task, arguments) as server:
        yield Subject(path, model, server, plan)


def _prefixed(progress: Callable[[str], None], prefix: str) -> Callable[[str], None]:
    return lambda line: progress(prefix + line)


def _joined(parts: Sequence[Encoded]) -> Encoded:
    """Measurements of the same way as one; figures are means."""
    return Encoded(
        sequences=sum(part.sequences for part in parts),
        tokens=sum(part.tokens for part in parts),
        wall_s=sum(part.wall_s for part in parts),
        latencies_ms=[latency for part in parts for latency in part.latencies_ms],
        figures={name: sum(part.figures[name] for part in parts) / len(parts) for name in parts[0].figures},
    )
