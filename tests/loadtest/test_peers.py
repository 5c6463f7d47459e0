"""The comparison with peers: its arithmetic, and the whole of it against a stand-in that speaks as peers do."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from attendant_loadtest.bench.bundles import BundleNotMade
from attendant_loadtest.bench.environments import PeerFailed, convert
from attendant_loadtest.bench.measurement import Measurement
from attendant_loadtest.bench.peers import command, contestants, decoding
from attendant_loadtest.bench.peers.contestants import Model, trained_model
from attendant_loadtest.bench.peers.decoding import Contest
from attendant_loadtest.bench.peers.generation import Plan, stand
from attendant_loadtest.bench.peers.kinds import DEFAULT, KINDS, REFERENCE, Package
from attendant_loadtest.bench.peers.long import LongContest, measures
from attendant_loadtest.bench.peers.process import Peer
from attendant_loadtest.bench.peers.standing import FIRST
from attendant_loadtest.bench.peers.table import Aim, row, table
from attendant_loadtest.bench.processes import answering
from attendant_loadtest.bench.workload import Workload

from tests.loadtest.peer_stand_ins import VOCABULARY, logits_kind, no_install
from tests.synthetic import make_synthetic_bundle


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


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with room for a text's window."""
    return make_synthetic_bundle(
        tmp_path_factory.mktemp("bundles") / "room", name="room", context_length=512, eos_bias=-1e4
    )


@pytest.fixture
def model(room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], Model]:
    """A model over which stand-ins are compared; whether it counts as trained."""
    monkeypatch.setattr(Package, "python", no_install)
    monkeypatch.setitem(KINDS, REFERENCE, logits_kind(0.0))
    monkeypatch.setitem(KINDS, "stand-in", logits_kind(0.1))
    monkeypatch.setattr(Model, "bundle", lambda *_, **__: room)
    source = tmp_path / "source"
    source.mkdir()
    (source / "config.json").write_text(json.dumps({"vocab_size": VOCABULARY}), encoding="utf-8")
    (source / "tokenizer.json").symlink_to(room / "tokenizer.json")
    (source / "model.onnx").touch()
    return lambda trained: Model("stood", source, tmp_path, trained=trained)


def test_a_comparison_of_one_concurrency(model: Callable[[bool], Model], tmp_path: Path) -> None:
    contest = Contest((2,), repeats=1, patience_s=0.0, arriving=2)
    plan = Plan(("int8",), ("stand-in",), contest)
    (found,) = stand(plan, model(False), tmp_path, [], lambda line: None).rounds
    assert list(found) == ["tokens/s, 2", "prompts", *FIRST]


def test_a_comparison_from_begin_to_end(
    model: Callable[[bool], Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> tuple[str, ...]:
        return (sys.executable, "-c", "raise SystemExit('no such thing')")

    kind = dataclasses.replace(logits_kind(0.0), convert=fails)
    monkeypatch.setitem(KINDS, "broken", kind)
    monkeypatch.setitem(KINDS, "silent", dataclasses.replace(kind, convert=None, logits=fails))
    contest = Contest((1, 2), repeats=1, patience_s=0.0, arriving=4)
    plan = Plan(("int8",), ("broken", "stand-in", "silent"), contest)
    standing = stand(plan, model(True), tmp_path, [], lambda line: None)
    ours, broken, peer, silent = standing.ways
    assert "no such thing" in broken.remark
    assert "gave no logits" in silent.remark
    assert ours.judged is not None
    assert peer.judged is not None
    assert ours.judged.decode is not None
    assert all(standing.figure(ours, measure) for measure in contest.aims)
    assert all(standing.figure(peer, measure) is not None for measure in contest.aims)
    assert standing.figure(silent, "prompts") is None
    assert {found.like and found.like.peer for found in standing.comparisons()} == {"stand-in"}


def test_long_contexts(model: Callable[[bool], Model], tmp_path: Path) -> None:
    plan = Plan(("int8",), ("stand-in",), long=LongContest((20, 40), repeats=2, patience_s=0.0, new_tokens=5))
    standing = stand(plan, model(False), tmp_path, [], lambda line: None)
    assert len(standing.rounds) == 2
    assert list(standing.aims) == [*measures(20), *measures(40)]
    ours, peer = standing.ways
    assert all((standing.figure(ours, measure) or 0) > 0 for measure in standing.aims)
    assert standing.figure(peer, measures(20)[1]) == pytest.approx(4 / 0.045)


def test_the_command_adds_rounds_of_earlier_runs(
    model: Callable[[bool], Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "trained_model", lambda *_: model(True))
    common = ["--decoders", "smollm2", "--models", "none", "--peers", "stand-in", "--precisions", "int8"]
    common += ["--concurrency", "2", "--patience", "0", "--bundle-cache", str(tmp_path)]
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    assert command.main([*common, "--repeats", "1", "--arriving", "0", "--out", str(one)], tmp_path) == 0
    assert command.main([*common, "--repeats", "0", "--add", f"{one},{one}", "--out", str(two)], tmp_path) == 0
    first, last = (json.loads(file.read_text(encoding="utf-8"))["stood"] for file in (one, two))
    assert last["rounds"] == first["rounds"] * 2
    assert last["medians"] == first["medians"]
    assert "| attendant int8 |" in capsys.readouterr().out


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


def test_a_checkpoint_that_is_none_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BundleNotMade, match=r"no model folder: there is no config\.json"):
        trained_model(tmp_path, tmp_path)
    monkeypatch.setattr(contestants, "SMOLLM2", "no-such-model")
    with pytest.raises(BundleNotMade, match="no-such-model cannot be had"):
        trained_model(tmp_path)


def test_every_default_peer_is_known() -> None:
    assert set(DEFAULT) <= set(KINDS)
    assert REFERENCE in KINDS
