"""``attendant simulate``, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from attendant.cli import main

from tests.loadtest.simulate.subjects import subject


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A calibration."""
    path = tmp_path / "thought.json"
    subject().save(path)
    return str(path)


def test_a_table_has_a_row_for_each_combination(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--replicas", "1,2", "--budget", "68,132", "--load", "0.5,0.9", "--seconds", "3", "--ttft", "50ms"]
    assert main(["simulate", file, *words, "--prompt", "10-40", "--answer", "8"]) == 0
    heads, *rows = capsys.readouterr().out.splitlines()
    assert heads.split()[:3] == ["replicas", "budget", "balancer"]
    assert [tuple(row.split()[:2]) for row in rows] == [
        (replicas, budget) for budget in ("68", "132") for replicas in ("1", "2") for _ in range(2)
    ]


def test_json_and_a_picture(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--rate", "20,40", "--replicas", "3", "--affinity", "off,on", "--families", "6", "--prefix", "60"]
    asked = [*words, "--requests", "80", "--json", "--plot", str(tmp_path / "one.svg")]
    assert main(["simulate", file, *asked]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["model"] == "thought"
    assert [(each["affinity"], each["figures"]["requests"]) for each in told["answers"]] == [
        (affinity, 80) for _ in range(2) for affinity in (False, True)
    ]
    cached = {each["affinity"]: each["figures"]["cached"] for each in told["answers"]}
    assert cached[True] > cached[False]
    assert "<svg" in (tmp_path / "one.svg").read_text(encoding="utf-8")


def test_a_trace_that_was_written_down(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = tmp_path / "trace.jsonl"
    lines = [{"at_s": at / 10, "prompt": 20, "answer": 3} for at in range(30)]
    trace.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(["simulate", file, "--trace", f"native:{trace}", "--requests", "20", "--speed", "2", "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)["answers"]
    assert answer["figures"]["answered"] == 20
    assert answer["rate"] == pytest.approx(20)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--replicas", "0"], "--replicas is '0'; allowed: whole numbers from 1 on"),
        (["--balancer", "fair"], "the balancer is 'fair'; allowed: round-robin, least-request, orca"),
        (["--affinity", "yes"], "affinity is 'yes'; allowed: on, off, or both"),
        (["--budget", "5"], "a budget of 5 tokens; allowed with 4 sequences: 7 or more"),
        (["--requests", "0"], "--requests 0; allowed: 1 or more"),
        (["--speed", "2"], "--speed is of traces"),
        (["--prompt", "300"], "thought has a context of 256"),
        (["--trace", "native"], "allowed: FORM:FILE"),
    ],
)
def test_what_cannot_be_says_so(file: str, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", file, *words, "--seconds", "1"]) == 2
    assert said in capsys.readouterr().err


def test_what_is_no_calibration_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", str(tmp_path / "none.json")]) == 2
    assert "none.json" in capsys.readouterr().err
