"""Flags of ``attendant explain``: what goes together, what is drawn from a file, and what is refused, in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from attendant.cli import main
from attendant.client.explain.recorded import from_json, to_json

from tests.cli.explain.examples import answered, attributed, heads, seen


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    path = tmp_path / "views.jsonl"
    path.write_text(f"{to_json(answered())}\n{to_json(attributed())}\n", encoding="utf-8")
    return path


def test_what_was_recorded_is_drawn_without_a_server(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--recorded", str(recorded)]) == 0
    shown = capsys.readouterr().out
    assert "tea: what the answer looked at" in shown
    assert "tea: what the answer “Tea.” hung on" in shown
    for form, begin in {"png": b"\x89PNG", "svg": b"<?xml", "html": b"<!doctype html>"}.items():
        assert main(["explain", "--recorded", str(recorded), "--output", str(recorded.with_suffix(f".{form}"))]) == 0
        assert recorded.with_suffix(f".{form}").read_bytes().startswith(begin)


def test_json_is_what_was_recorded(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--recorded", str(recorded), "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [to_json(from_json(line)) for line in lines] == recorded.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("token", ["6", "."])
def test_one_token_is_chosen_by_number_or_text(recorded: Path, capsys: pytest.CaptureFixture[str], token: str) -> None:
    assert main(["explain", "--recorded", str(recorded), "--token", token]) == 0
    shown = capsys.readouterr().out
    assert "   6  “.”               25 % “ coffee”, 25 % “?”, 25 % “ Tea”" in shown
    assert "50 %" not in shown


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "nothing is given; allowed: one of TEXT, --image and --audio"),
        (["x", "--image", "a.png"], 2, "TEXT and --image is given"),
        (
            ["x", "--layer", "1", "--method", "occlusion"],
            2,
            "--layer is [1]; it has no meaning with --method occlusion",
        ),
        (["x", "--unit", "token"], 2, "--unit is 'token'; it has no meaning with --method attention"),
        (["x", "--context", "a", "--context", "b"], 2, "TEXT is 'x'; it has no meaning with --context"),
        (["--context", "a"], 2, "--context has to be given twice or more"),
        (
            ["--context", "a", "--context", "b", "--context", "c", "--word", "a", "--word", "b"],
            2,
            "--word is given 2 times",
        ),
        (["--steps", "x", "--answer", "y"], 2, "--answer is 'y'; it has no meaning with --steps"),
        (["x", "--answer", "y", "--max-tokens", "2"], 2, "give --answer or --max-tokens, not both"),
        (["x", "--output", "a.jpg"], 2, "--output is 'a.jpg'; allowed: a name that ends with .png, .svg or .html"),
        (["x", "--output", "a.png", "--json"], 2, "give --json or --output, not both"),
        (["--recorded", "RECORDED", "--server", "b:1"], 2, "--server is 'b:1'; it has no meaning with --recorded"),
        (
            ["--recorded", "RECORDED", "--token", "9"],
            2,
            "--token is '9'; it is not there; allowed: a number from 5 to 6",
        ),
        (["--recorded", "missing"], 1, "missing: cannot be read"),
        (["--recorded", __file__], 1, "this is no line of `attendant explain --json`"),
        (["--recorded", "RECORDED", "--output", "missing/a.html"], 1, "missing/a.html: cannot be written"),
        (["\udcff"], 2, "the text is not valid UTF-8"),
        (["x", "--server", "127.0.0.1:1"], 1, "cannot reach a server at 127.0.0.1:1"),
    ],
)
def test_what_goes_wrong_is_told_in_a_line(
    recorded: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    places = {"RECORDED": str(recorded)}
    assert main(["explain", *(places.get(word, word) for word in arguments)]) == code
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert words in error


def test_a_token_that_stands_twice_is_named_by_its_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "twice.jsonl"
    path.write_text(to_json(answered().of_rows([0, 0])), encoding="utf-8")
    assert main(["explain", "--recorded", str(path), "--token", "Tea"]) == 2
    assert "it is there 2 times, as numbers [5, 6]" in capsys.readouterr().err


def test_too_many_matrices_for_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "heads.jsonl"
    layers = heads().layers * 3
    path.write_text(to_json(answered(*layers, reduction="none")), encoding="utf-8")
    assert main(["explain", "--recorded", str(path)]) == 2
    assert "18 matrices are too many for a terminal; allowed: up to 12" in capsys.readouterr().err


def test_a_picture_comes_from_a_file_with_its_image(tmp_path: Path) -> None:
    path = tmp_path / "seen.jsonl"
    path.write_text(to_json(seen()), encoding="utf-8")
    assert main(["explain", "--recorded", str(path), "--output", str(tmp_path / "seen.svg")]) == 0
