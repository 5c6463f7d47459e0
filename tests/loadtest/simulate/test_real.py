"""Measured on a real server, and asked of one. What times come out, a busy machine decides: only that they do is looked
at."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
from attendant_loadtest.simulate.command import add_simulate_arguments, simulate
from attendant_loadtest.simulate.subject import Subject


def main(words: list[str]) -> int:
    """The command, without its name."""
    parser = argparse.ArgumentParser()
    add_simulate_arguments(parser)
    return simulate(parser.parse_args(words[1:]))


def test_a_bundle_is_calibrated_and_compared(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "tiny.json"
    served = ["--served=--engine.max-num-seqs=4"]
    assert main(["simulate", str(file), "--calibrate", str(bundle), "--seconds", "2", *served]) == 0
    assert "a step" in capsys.readouterr().out
    subject = Subject.load(file)
    assert subject.shape.max_num_seqs == 4
    assert subject.costs.pace.is_sure
    assert all(min(wire.seconds) > 0 for wire in subject.costs.wires)
    asked = ["--load", "0.1", "--seconds", "1", "--prompt", "4-8", "--answer", "4", "--json", *served]
    assert main(["simulate", str(file), "--validate", str(bundle), *asked]) in (0, 1)
    (row,) = json.loads(capsys.readouterr().out)
    assert not row["failed"]
    assert row["requests"] > 0
    assert row["slow"] > 0
    assert row["first50"]["thought"] > 0
    assert row["first50"]["real"] > 0


def test_a_bundle_that_is_none_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", str(tmp_path / "one.json"), "--calibrate", str(tmp_path)]) == 1
    assert "bundle.json" in capsys.readouterr().err
