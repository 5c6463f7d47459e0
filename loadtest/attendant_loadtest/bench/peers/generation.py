"""The comparison of decoders, model by model: what is prepared, what is judged, what is timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from attendant_loadtest.bench.environments import PeerFailed
from attendant_loadtest.bench.peers.contestants import Model, size_mb
from attendant_loadtest.bench.peers.decoding import PRECISIONS, TRAINED, Contest, compare, running
from attendant_loadtest.bench.peers.judge import PROSE, Judge
from attendant_loadtest.bench.peers.kinds import KINDS, REFERENCE, Made, Room, prepare
from attendant_loadtest.bench.peers.long import LongContest, compare_long
from attendant_loadtest.bench.peers.readings import Round
from attendant_loadtest.bench.peers.standing import Standing, Way, our_bits
from attendant_loadtest.bench.peers.table import OURS

_SPARE = 192  # positions of a long sequence beyond its deepest prompt


@dataclass(frozen=True, slots=True)
class Plan:
    """``precisions`` of ours, by default those of the model's kind, and ``peers``. ``text``: what distributions are
    compared on. ``afresh``: bundles are exported again. ``long``: contexts of many tokens, in place of many requests.
    ``batched_tokens``: of a step of our servers; None: as many as the peers'."""

    precisions: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    contest: Contest = field(default_factory=Contest)
    long: LongContest | None = None
    text: Path = PROSE
    afresh: bool = False
    batched_tokens: int | None = None


def stand(plan: Plan, model: Model, cache: Path, before: list[Round], progress: Callable[[str], None]) -> Standing:
    """Prepare and judge all ways over one model, and measure them in turn.

    Args:
        before: rounds of earlier runs, which count like those of this one.

    Raises:
        BundleNotMade, ServerFailed, PeerFailed: what did not work, and why. A peer that cannot be installed, or cannot
            do this model, has it said in its row.
    """
    precisions = plan.precisions or (TRAINED if model.trained else PRECISIONS)
    bundles = {precision: model.bundle(precision, afresh=plan.afresh) for precision in precisions}
    made: dict[str, Made] = {}
    failures: dict[str, str] = {}
    for name in plan.peers:
        progress(f"{model.name}, {name}: installed and converted first where that has not been done")
        try:
            made[name] = prepare(name, model.source, cache / "peers", model.peers)
        except PeerFailed as error:
            failures[name] = str(error)
    ways = _ways(plan, model, cache, bundles, made, failures, progress)
    unable = {way.name for way in ways if not way.ours and way.size_mb is None}
    timed = {name: it for name, it in made.items() if name not in unable}
    rounds = _timed(plan, model, bundles, timed, progress)
    aims = plan.long.aims if plan.long else plan.contest.aims
    return Standing(ways, [*before, *rounds], aims)


def _ways(
    plan: Plan,
    model: Model,
    cache: Path,
    bundles: dict[str, Path],
    made: dict[str, Made],
    failures: dict[str, str],
    progress: Callable[[str], None],
) -> list[Way]:
    """The rows without their figures."""
    judge = None
    if model.trained:
        reference = prepare(REFERENCE, model.source, cache / "peers", model.peers)
        judge = Judge(model.source, plan.text, reference, model.folder / "fidelity", progress)
    ways = []
    for precision, bundle in bundles.items():
        name = f"{OURS} {precision}"
        judged = judge.of_bundle(name, bundle) if judge else None
        ways.append(Way(name, our_bits(precision), size_mb(bundle), judged))
    for name in plan.peers:
        kind = KINDS[name]
        bits = (kind.bits, kind.bits)
        if name not in made:
            ways.append(Way(name, bits, remark=failures[name]))
            continue
        try:
            judged = judge.of_peer(name, made[name]) if judge else None
        except PeerFailed as error:
            ways.append(Way(name, bits, remark=str(error)))
            continue
        size = sum(file.stat().st_size for file in made[name].files) / 1e6
        ways.append(Way(name, bits, size, judged, kind.remark if judged else ""))
    return ways


def _timed(
    plan: Plan, model: Model, bundles: dict[str, Path], made: dict[str, Made], progress: Callable[[str], None]
) -> list[Round]:
    contest = plan.long or plan.contest
    if not contest.repeats:
        return []
    room, sequences = Room(), 2 * max(*plan.contest.concurrency, 8)
    if plan.long:
        room, sequences = Room(max(plan.long.depths) + _SPARE, 1), 1
    budget = {} if plan.batched_tokens is None else {"batched_tokens": plan.batched_tokens}
    with running(bundles, made, progress, room=room, sequences=sequences, **budget) as found:
        if plan.long:
            return compare_long(plan.long, found, model.vocab_size, progress)
        return compare(plan.contest, found, model.vocab_size, progress)
