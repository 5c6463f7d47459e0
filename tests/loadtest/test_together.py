"""What several busy models do together, measured: every kind of model, and the arithmetic of shares."""

from __future__ import annotations

from pathlib import Path

import pytest
from attendant.core.errors import StepFailed
from attendant_loadtest.bench import together
from attendant_loadtest.bench.__main__ import main
from attendant_loadtest.bench.together import BusyEncoder, Seen, Worker, shares

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


class Contestant(BusyEncoder):
    """Fails, or says whether a turn runs."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.runs = False

    def turn(self) -> int:
        if self.fails:
            raise StepFailed("out of order")
        self.runs = True
        self.runs = False
        return 1


def test_a_model_that_fails_is_an_error_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(together, "busy", lambda model, concurrency: Contestant(fails=True))
    bundle = str(make_text_encoder(tmp_path / "one"))
    assert main(["together", bundle, bundle, "--rounds", "1", "--seconds", "0.01", "--threads", "1"]) == 1
    assert "out of order" in capsys.readouterr().err


def test_nothing_runs_after_rest_however_late_a_thread_begins() -> None:
    for _ in range(50):
        worker = Worker(contestant := Contestant())
        worker.begin()
        worker.rest()
        done = worker.done
        assert not contestant.runs
        worker.close()
        assert worker.done == done


def test_a_share_is_what_is_done_in_company_over_what_is_done_alone() -> None:
    found = {(0,): [Seen(100.0, ())], (1,): [Seen(50.0, ())], (0, 1): [Seen(60.0, ()), Seen(20.0, ())]}
    assert shares([found], (0, 1)) == [[0.6, 0.4]]
