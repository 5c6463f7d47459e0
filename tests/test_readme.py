"""Every command and every program of README.md, run."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bundles import make_llama_source
from tests.synthetic import make_synthetic_bundle
from tests.system.server import ServerProcess, environment, serving

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
DEFAULT_ADDRESS = "127.0.0.1:50051"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines() if line]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("log") / "log", "--demo") as process:
        yield process


def run(words: list[str], cwd: Path, text: str | None = None, timeout_s: float = 120) -> str:
    done = subprocess.run(
        words, cwd=cwd, input=text, capture_output=True, text=True, timeout=timeout_s, env=environment(), check=False
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def recipe(command: str) -> list[str]:
    """What a make command would run."""
    lines = run(["make", "-n", "--no-print-directory", *shlex.split(command)[1:]], REPOSITORY).splitlines()
    return shlex.split(lines[-1])


def here(words: list[str]) -> list[str]:
    """The same command in this environment."""
    return [sys.executable, "-m", Path(words[0]).name, *words[1:]]


ON_A_SERVER = r"attendant (generate|models|chat|classify|translate)"


@pytest.mark.parametrize("command", [c for c in COMMANDS if re.search(ON_A_SERVER, c)])
def test_client_commands(command: str, server: ServerProcess, tmp_path: Path) -> None:
    text = "hello\n/exit\n" if "chat" in command else None
    assert run([*here(shlex.split(command)), "--server", server.grpc], tmp_path, text).strip()


@pytest.mark.parametrize("program", blocks("python"))
def test_programs(program: str, server: ServerProcess, tmp_path: Path) -> None:
    assert DEFAULT_ADDRESS in program
    answer = run([sys.executable, "-c", program.replace(DEFAULT_ADDRESS, server.grpc)], tmp_path)
    assert len(answer.split()) > 3
    assert len(program.strip().splitlines()) <= 10


def test_export_and_serve_your_own_model(tmp_path: Path) -> None:
    export, serve = (next(c for c in COMMANDS if f"attendant {verb} ./" in c) for verb in ("export", "serve"))
    make_llama_source(tmp_path / "my-model", max_position_embeddings=64)
    run(here(shlex.split(export)), tmp_path)
    words = shlex.split(serve)
    folder = tmp_path / words[-1]
    with serving(tmp_path / "log", folder) as process:
        models = run([*here([words[0], "models"]), "--server", process.grpc], tmp_path)
        assert "my-model" in models


def test_help_of_serve(tmp_path: Path) -> None:
    (command,) = (c for c in COMMANDS if c.endswith("--help"))
    assert "ATTENDANT_ENGINE__MAX_NUM_SEQS" in run(here(shlex.split(command)), tmp_path)


def test_make_loadtest(server: ServerProcess, tmp_path: Path) -> None:
    (command,) = (c for c in COMMANDS if "loadtest" in c)
    words = [server.grpc if word == DEFAULT_ADDRESS else word for word in here(recipe(command))]
    run([*words, "-t", "3s", "--only-summary"], REPOSITORY)


def test_make_bench(tmp_path: Path) -> None:
    """The same command on a tiny bundle: the benchmark's own model takes minutes to make."""
    (command,) = (c for c in COMMANDS if re.search(r"make bench ARGS=--quick", c))
    bundle = make_synthetic_bundle(tmp_path / "tiny", eos_bias=-50)
    words = [sys.executable, *recipe(command)[1:], "--bundle", str(bundle), "--concurrency", "2"]
    assert "server/bare" in run(words, tmp_path)


def test_make_run_in_a_fresh_clone(tmp_path: Path) -> None:
    """Also that the serving part installs without torch."""
    clone = tmp_path / "clone"
    run(["git", "clone", "-q", str(REPOSITORY), str(clone)], tmp_path)
    output = run(["make", "run", "ARGS=--once"], clone, timeout_s=600)
    assert "metrics on http://" in output
    assert "order" in output
    assert not list((clone / ".venv").glob("lib/*/site-packages/torch"))
    shutil.rmtree(clone)


def test_make_test_is_what_ci_runs() -> None:
    assert "make test" in (REPOSITORY / ".ci/run").read_text(encoding="utf-8")
    plan = run(["make", "-n", "test"], REPOSITORY)
    for tool in ("ruff check", "ruff format --check", "mypy", "lint-imports", "pytest"):
        assert tool in plan


@pytest.mark.parametrize(("target", "left_out"), [("test", "not nightly"), ("fast", "not torch"), ("nightly", None)])
def test_what_the_commands_leave_out(target: str, left_out: str | None) -> None:
    *_, command = run(["make", "-n", target], REPOSITORY).splitlines()
    assert "pytest" in command
    assert (left_out in command) if left_out else (" -m 'not" not in command and ' -m "not' not in command)


def test_no_command_is_left_out() -> None:
    tested = (
        r"attendant (generate|models|chat|classify|translate|export|serve) ",
        r"attendant (chat|models)$",
        r"make (run|test)$",
    )
    tested += (r'make run ARGS="--model smollm2"$',)  # tests/real has the same model, exported and served
    tested += (r"make bench PEERS=1",)  # tests/loadtest has it with a stand-in
    tested += (r"make (loadtest|bench) ", r"make \.venv-dev/\.done$")
    assert not [c for c in COMMANDS if not any(re.search(pattern, c) for pattern in tested)]
