"""``attendant translate`` against a real server of the embedded demo models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.server import ServerProcess, attendant, serving

TEXTS = ("Where is the station?", "I would like two coffees, please.", "Thank you very much!")
TRANSLATIONS = ("Où est la gare ?", "Je voudrais deux cafés, s'il vous plaît.", "Merci beaucoup !")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("log") / "server.log", "--demo") as running:
        yield running


def test_each_argument_is_a_text(server: ServerProcess) -> None:
    done = attendant("translate", *TEXTS, "--server", server.grpc)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == list(TRANSLATIONS)


def test_each_line_is_a_text_and_answers_keep_their_order(server: ServerProcess, tmp_path: Path) -> None:
    lines = [TEXTS[index % 3] if index % 7 else "" for index in range(60)]
    expected = [TRANSLATIONS[index % 3] if index % 7 else "" for index in range(60)]
    file = tmp_path / "lines.txt"
    file.write_text("\r\n".join(lines) + "\r\n", encoding="utf-8", newline="")
    piped = attendant("translate", "--server", server.grpc, stdin="\n".join(lines) + "\n")
    assert piped.stdout.splitlines() == expected
    assert attendant("translate", "--file", file, "--server", server.grpc).stdout == piped.stdout
    assert attendant("translate", "--file", "-", "--server", server.grpc, stdin=TEXTS[0]).stdout == "Où est la gare ?\n"


def test_beams_and_json(server: ServerProcess) -> None:
    done = attendant("translate", TEXTS[0], "--model", "translator", "--beams", 3, "--json", "--server", server.grpc)
    assert json.loads(done.stdout) == {"input": TEXTS[0], "text": TRANSLATIONS[0]}


def test_prompts_without_a_model_name_still_go_to_the_one_that_continues_them(server: ServerProcess) -> None:
    for words in (("generate", "Where is my order?", "--max-tokens", 5), ("generate", "Where", "--raw", "--json")):
        done = attendant(*words, "--server", server.grpc)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("x", "--to", "fr"), "'fr'"),
        (("x", "--model", "demo"), "translation"),
        (("x", "--model", "other"), "NOT_FOUND"),
        (("x", "--beams", "1000"), "INVALID_ARGUMENT"),
        (("x " * 500,), "INVALID_ARGUMENT"),
        (("--file", "nowhere.txt"), "nowhere.txt: cannot be read"),
    ],
)
def test_what_goes_wrong_takes_one_line(server: ServerProcess, words: tuple[str, ...], said: str) -> None:
    done = attendant("translate", *words, "--server", server.grpc)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert said in done.stderr


def test_wrong_usage_exits_2(server: ServerProcess, tmp_path: Path) -> None:
    nothing = attendant("translate", "--server", server.grpc, stdin="")
    both = attendant("translate", "x", "--file", tmp_path, "--server", server.grpc)
    for done, said in ((nothing, "no input"), (both, "not both")):
        assert done.returncode == 2
        assert said in done.stderr


def test_without_a_model_for_it_a_command_says_so(tmp_path: Path) -> None:
    from attendant.demo import demo_bundle

    with serving(tmp_path / "log", demo_bundle()) as server:
        done = attendant("translate", "x", "--server", server.grpc)
        assert done.returncode == 1
        assert "NOT_FOUND: no model for task 'translate' is loaded; loaded models: 'demo'" in done.stderr
        done = attendant("transcribe", "x.wav", "--server", server.grpc)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "attendant: error: no model for task 'transcribe' is loaded; loaded models: 'demo'\n"
    assert attendant("translate", "x", "--server", "127.0.0.1:1").returncode == 1
