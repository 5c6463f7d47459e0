"""Fidelity of rows of the comparison: the arithmetic, our graphs with given tokens, and what is kept of it."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from attendant_loadtest.bench.environments import PeerFailed
from attendant_loadtest.bench.peers.fidelity import WINDOW, Tally, following, windows
from attendant_loadtest.bench.peers.forced import Forced, judge
from attendant_loadtest.bench.peers.judge import PROSE, Judge
from attendant_loadtest.bench.peers.kinds import Kind, Made, Package

from tests.loadtest.peer_stand_ins import logits_kind
from tests.synthetic import make_synthetic_bundle


@pytest.fixture(scope="module")
def long_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With room for a window."""
    return make_synthetic_bundle(tmp_path_factory.mktemp("bundles") / "long", name="long", context_length=WINDOW)


def test_fidelity_of_a_case_worked_by_hand() -> None:
    reference = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]], np.float32)) + 3  # logits have any offset
    logits = np.log(np.array([[0.25, 0.5, 0.25], [0.2, 0.2, 0.6]], np.float32)) - 7
    tally = Tally()
    tally.add(reference, logits, np.array([1, -1]))
    found = tally.fidelity()
    first = 0.5 * math.log(0.5 / 0.25) + 0.25 * math.log(0.25 / 0.5)
    second = 0.2 * math.log(0.1 / 0.2) + 0.8 * math.log(0.8 / 0.6)
    assert found.nll == pytest.approx(-math.log(0.5), rel=1e-6)
    assert found.kl == pytest.approx((first + second) / 2, rel=1e-6)
    assert found.same == 0.5


def test_parts_add_up_to_the_whole() -> None:
    rng = np.random.default_rng(0)
    reference, logits = rng.standard_normal((2, 150, 40)).astype(np.float32)
    targets = rng.integers(0, 40, 150)
    whole, parts = Tally(), Tally()
    whole.add(reference, logits, targets)
    for first, last in ((0, 1), (1, 70), (70, 150)):
        parts.add(reference[first:last], logits[first:last], targets[first:last])
    assert vars(whole) == pytest.approx(vars(parts))


def test_logits_of_another_vocabulary_are_refused() -> None:
    with pytest.raises(ValueError, match=r"logits are \[2, 5\], the reference's \[2, 6\]"):
        Tally().add(np.zeros((2, 6), np.float32), np.zeros((2, 5), np.float32), np.zeros(2, np.int64))


def test_windows_are_whole_and_few() -> None:
    assert windows(list(range(WINDOW + 7))).tolist() == [list(range(WINDOW))]
    assert windows([0] * 20 * WINDOW).shape == (8, WINDOW)
    assert following(np.array([4, 5, 6])).tolist() == [5, 6, -1]
    with pytest.raises(ValueError, match="has 511 tokens; at least 512"):
        windows([0] * 511)


def test_our_own_logits_are_like_themselves(long_bundle: Path) -> None:
    tokens = np.random.default_rng(1).integers(6, 200, (2, 48))
    model = Forced(long_bundle, *tokens.shape)
    reference = np.stack([model.prompt(row) for row in tokens])
    found = judge(long_bundle, tokens, reference)
    assert (found["prompt"].kl, found["prompt"].same) == (0, 1)
    assert found["decode"].kl == pytest.approx(0, abs=1e-9)
    assert found["decode"].nll == pytest.approx(found["prompt"].nll, abs=1e-4)


def test_a_row_is_judged_once(long_bundle: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    text = tmp_path / "text.txt"
    text.write_text("The ferry left at twenty past six. " * 40, encoding="utf-8")
    right, noisy = (Made(logits_kind(noise), Path(sys.executable), long_bundle) for noise in (0.0, 0.1))
    for _ in range(2):
        found = Judge(long_bundle, text, right, tmp_path / "kept", lines.append)
        assert found.num_tokens == 2 * WINDOW
        same, near = found.of_peer("right", right), found.of_peer("noisy", noisy)
        ours = found.of_bundle("attendant fp32", long_bundle)
    assert len(lines) == 4, "the reference and three rows, the first time"
    assert same.prompt is not None
    assert near.prompt is not None
    assert (same.prompt.kl, same.prompt.same, same.decode) == (0, 1, None)
    assert 0.003 < near.prompt.kl < 0.008, "half the variance of the noise"
    assert ours.prompt is not None
    assert ours.decode is not None
    assert ours.prompt.kl > 0.1, "another model"


def test_a_peer_without_logits_is_told(long_bundle: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("word " * 200, encoding="utf-8")
    kind = Kind(Package("none", (), "."), None, lambda *_: (), lambda *_: (sys.executable, "-c", "input()"), bits=8)
    with pytest.raises(PeerFailed, match="gave no logits"):
        Judge(long_bundle, text, Made(kind, Path(sys.executable), long_bundle), tmp_path, lambda line: None)


def test_a_short_text_is_told(long_bundle: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("word", encoding="utf-8")
    with pytest.raises(PeerFailed, match=r"text\.txt: the text has 4 tokens; at least 512"):
        Judge(long_bundle, text, Made(logits_kind(0.0), Path(sys.executable), long_bundle), tmp_path, lambda line: None)


def test_the_prose_is_enough() -> None:
    assert len(PROSE.read_text(encoding="utf-8").split()) > 3300
