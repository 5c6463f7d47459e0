"""The comparison with peers: its arithmetic, and the whole of it against a stand-in that speaks as peers do."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
from attendant.bundle import read_manifest
from attendant_loadtest.bench.environments import PeerFailed, convert
from attendant_loadtest.bench.measurement import Measurement
from attendant_loadtest.bench.peers import decoding
from attendant_loadtest.bench.peers.decoding import Contest, compare
from attendant_loadtest.bench.peers.kinds import DEFAULT, KINDS, Kind, Package
from attendant_loadtest.bench.peers.process import Peer
from attendant_loadtest.bench.peers.table import Aim, row, table
from attendant_loadtest.bench.processes import answering
from attendant_loadtest.bench.workload import Workload

STAND_IN = """
import json, sys, time
for line in sys.stdin:
    asked = json.loads(line)
    time.sleep(0.01)
    made = len(asked["prompts"]) * asked["new_tokens"]
    first = [5.0 * n for n in range(len(asked["arrivals"]))]
    print(json.dumps({"wall_s": 0.01 * asked["new_tokens"], "generated": made, "first_token_ms": first}), flush=True)
"""


def _at(tokens_per_s: float, others: float = 0.0) -> Measurement:
    return Measurement(int(tokens_per_s), 0, 1.0, others)


def test_the_best_of_both_sides_are_compared_round_by_round() -> None:
    rounds = {
        "attendant int8": [_at(100), _at(120), _at(999, others=0.5)],
        "attendant int4": [_at(90), _at(90), _at(90)],
        "slow": [_at(10), _at(10), _at(10)],
        "fast": [_at(80), _at(80), _at(1)],
    }
    found = row("x", rounds, lambda m: m.tokens_per_s, Aim(1.25), quiet=0.1)
    assert (found.ours, found.best_peer, found.quiet) == ("attendant int8", "fast", 2)
    assert found.ratio == pytest.approx((100 / 80 + 120 / 80) / 2)
    assert "1.38 (int8 / fast) | >= 1.25 | yes | 2 |" in table([found])


def test_of_times_the_shortest_are_compared() -> None:
    rounds = {"attendant int8": [_at(100)], "attendant int4": [_at(60)], "slow": [_at(200)], "fast": [_at(80)]}
    found = row("x", rounds, lambda m: m.tokens_per_s, Aim(0.5, least=False), quiet=0.1)
    assert (found.ours, found.best_peer, found.ratio) == ("attendant int4", "fast", 0.75)
    assert "| <= 0.5 | no |" in table([found])


def test_arrivals_are_a_poisson_process() -> None:
    workload = Workload(4, 4000, 4, 1, vocab_size=100, seed=3, per_s=50.0)
    gaps = np.diff([0.0, *workload.arrivals()])
    assert gaps.min() >= 0
    assert gaps.mean() == pytest.approx(1 / 50, rel=0.06)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.1)
    assert not dataclasses.replace(workload, per_s=None).arrivals()


@pytest.fixture
def stand_in(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer, and a small bundle for the benchmark's."""
    kind = Kind(Package("none", (), "."), None, lambda *_: (sys.executable, "-c", STAND_IN), arrives=True)
    monkeypatch.setitem(KINDS, "stand-in", kind)
    monkeypatch.setattr(Package, "python", lambda *_: Path(sys.executable))
    monkeypatch.setattr(decoding, "bench_bundle", lambda *_: bundle)
    monkeypatch.setattr(decoding, "VOCABULARY", read_manifest(bundle).vocab_size)


@pytest.mark.usefixtures("stand_in")
def test_a_comparison_of_one_concurrency(tmp_path: Path) -> None:
    contest = Contest(("int8",), ("stand-in",), (2,), repeats=1, patience_s=0.0, arriving=2)
    names = [found.what.partition(",")[0] for found in compare(contest, tmp_path, lambda line: None)]
    assert names == ["total tokens/s", "prompt tokens/s", "time to first token p50", "time to first token p99"]


@pytest.mark.usefixtures("stand_in")
def test_a_comparison_from_begin_to_end(tmp_path: Path) -> None:
    contest = Contest(("int8",), ("stand-in",), (1, 2), repeats=1, patience_s=0.0, arriving=4)
    rows = compare(contest, tmp_path, lambda line: None)
    assert [found.what.partition(",")[0] for found in rows] == [
        *(["total tokens/s"] * 2),
        "decode tokens/s",
        "prompt tokens/s",
        "time to first token p50",
        "time to first token p99",
    ]
    assert all(found.figures["attendant int8"] > 0 for found in rows)
    assert all(found.best_peer == "stand-in" for found in rows)


def test_few_requests_are_measured_several_times() -> None:
    asked: list[Workload] = []

    class Way:
        def measure(self, workload: Workload) -> Measurement:
            asked.append(workload)
            return Measurement(10 * workload.num_requests, workload.num_requests, 0.5)

    few, arriving = Workload(3, 3, 4, 1, 10, seed=7), Workload(2, 2, 4, 1, 10, seed=7, per_s=5.0)
    found = decoding._Several(Way()).measure(few)
    assert (found.generated, found.prompt, found.wall_s) == (90, 9, 1.5)
    assert len({workload.seed for workload in asked}) == len(asked) == 3
    decoding._Several(Way()).measure(arriving)
    assert len(asked) == 4


def test_a_peer_that_ends_is_told() -> None:
    with answering((sys.executable, "-c", "input()")) as process, pytest.raises(PeerFailed, match="ended early"):
        Peer(process).measure(Workload(1, 1, 4, 1, vocab_size=10, seed=0))


def test_a_converter_that_fails_leaves_nothing(tmp_path: Path) -> None:
    made = tmp_path / "models" / "made"
    script = f"import pathlib, sys; pathlib.Path({str(made)!r}).mkdir(); sys.exit('no such thing')"
    with pytest.raises(PeerFailed, match="no such thing"):
        convert((sys.executable, "-c", script), made)
    assert not made.exists()


def test_what_a_killed_converter_left_is_made_again(tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    (made / "half").touch()
    command = (sys.executable, "-c", f"import pathlib; pathlib.Path({str(made)!r}).mkdir()")
    assert convert(command, made) == made
    assert not list(made.iterdir())
    assert convert((sys.executable, "-c", "raise SystemExit(1)"), made) == made, "it is whole, so nothing is run"


def test_every_default_peer_is_known() -> None:
    assert set(DEFAULT) <= set(KINDS)
