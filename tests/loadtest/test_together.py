"""What several busy models do together, measured: every kind of model, and the arithmetic of shares."""

from __future__ import annotations

from pathlib import Path

import pytest
from attendant_loadtest.bench.__main__ import main
from attendant_loadtest.bench.together import Seen, shares

from tests.synthetic import make_synthetic_bundle
from tests.synthetic_encoder import make_text_encoder


def test_it_measures_models_that_generate_and_that_encode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundles = [str(make_synthetic_bundle(tmp_path / "one")), str(make_text_encoder(tmp_path / "two"))]
    options = ["--rounds", "1", "--seconds", "0.1", "--threads", "1", "--together", "2,3"]
    assert main(["together", *bundles, bundles[0], *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[:3]] == ["synthetic", "two", "synthetic"]
    assert [line.split()[0] for line in lines if "together" in line] == ["2", "3"]


def test_a_bundle_that_cannot_be_loaded_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["together", str(tmp_path)]) == 1
    assert str(tmp_path) in capsys.readouterr().err


def test_a_share_is_what_is_done_in_company_over_what_is_done_alone() -> None:
    found = {(0,): [Seen(100.0, ())], (1,): [Seen(50.0, ())], (0, 1): [Seen(60.0, ()), Seen(20.0, ())]}
    assert shares([found], (0, 1)) == [[0.6, 0.4]]
