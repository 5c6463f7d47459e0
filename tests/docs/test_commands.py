"""Every command and every program of README.md, CONTRIBUTING.md and docs/, run."""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from attendant.core.objectives import Objective
from attendant.settings import SettingsArguments
from attendant.settings.callers import read_callers

from tests.docs.markdown import REPOSITORY, Block, blocks, commands
from tests.synthetic import make_synthetic_bundle
from tests.system.encoders import FLAGS, make_encoders, png, wav
from tests.system.server import ServerProcess, environment, serving

GRPC, HTTP = "127.0.0.1:50051", "http://127.0.0.1:9090"
COMMANDS = commands()

REPOSITORY_COMMAND = r"attendant (serve --model-repository|models --index|load|unload)\b"
CLIENT = (
    r"attendant (generate|estimate|chat|models|classify|translate|see|hear|embed|tag|answer|rerank|fill-mask|explain)\b"
)
TRANSCRIBE = r"attendant transcribe "
REPLAY = r"attendant replay "
COMPARE = r"attendant compare "
ASKED = r"attendant (loadtest|capacity) "
RECORD = r"attendant serve --record"
EXPORT = r"attendant export "
SERVE = r"attendant serve \./"
TRACED = r"attendant serve --traces\."
ROUTED = r"attendant serve --demo --routes "
ENGINE = r"attendant serve --vllm-engine "
TOKEN = r"attendant token new "
HELP = r"attendant serve --help$"
LOAD = r"make loadtest "
QUICK_BENCH = r"make bench ARGS=--quick$"
BENCH = r"make bench (?!ARGS=--quick)"
TARGET = r"make [a-z-]+( [A-Z]+=\S+)*$|make run ARGS=\"--model smollm2\"$|make \.venv-dev/\.done$|make test ARGS="
SERVING = (SERVE, TRACED, ROUTED, ENGINE, HELP)
ASKING = (REPOSITORY_COMMAND, CLIENT, TRANSCRIBE, REPLAY, COMPARE, ASKED)
KINDS = (*ASKING, TOKEN, RECORD, EXPORT, *SERVING, LOAD, QUICK_BENCH, BENCH, TARGET)


def of_kind(kind: str) -> list[str]:
    """The commands of the pages that are of one kind."""
    return [command for command in COMMANDS if next((k for k in KINDS if re.search(k, command)), None) == kind]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The demo models with the routes of docs/routes.md, and a tiny encoder for each task that they have not."""
    folder = make_encoders(tmp_path_factory.mktemp("encoders"))
    for name in ("moods", "images", "pictures", "words"):
        shutil.rmtree(folder / name)
    routes = folder / "routes.yaml"
    routes.write_text(next(block.text for block in blocks("yaml") if block.page == "docs/routes.md"), encoding="utf-8")
    (routed,) = of_kind(ROUTED)
    flags = [str(routes) if word == "routes.yaml" else word for word in shlex.split(routed)[2:]]
    with serving(tmp_path_factory.mktemp("log") / "log", folder, *flags, *FLAGS) as process:
        yield process


def run(words: list[str], cwd: Path, text: str | None = None, timeout_s: float = 300) -> str:
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


def test_no_command_is_left_out() -> None:
    unknown = {command: page for command, page in COMMANDS.items() if not any(re.search(k, command) for k in KINDS)}
    assert not unknown


@pytest.mark.parametrize("command", of_kind(CLIENT))
def test_client_commands(command: str, server: ServerProcess, tmp_path: Path) -> None:
    (tmp_path / "circle.png").write_bytes(png((200, 40, 40), (32, 32)))
    (tmp_path / "siren.wav").write_bytes(wav(np.sin(np.arange(800) / 4)))
    text = "hello\n/exit\n" if "chat" in command else None
    assert run([*here(shlex.split(command)), "--server", server.grpc], tmp_path, text).strip()


@pytest.mark.parametrize("command", of_kind(ASKED))
def test_what_a_server_can_do(command: str, server: ServerProcess, tmp_path: Path) -> None:
    """Shorter than a reader would. Figures are refused where the machine does something else meanwhile."""
    shorter = ["--run-seconds", "0.5", "--most-seconds", "6"] if " capacity " in command else ["--seconds", "1"]
    words = [*here(shlex.split(command)), "--server", server.grpc, *shorter]
    done = subprocess.run(
        words, cwd=tmp_path, capture_output=True, text=True, timeout=300, env=environment(), check=False
    )
    assert done.returncode == 0 or "no figures" in done.stdout or "Capacity: none" in done.stdout, done.stderr
    assert done.stdout.startswith("| offered | answered |")


def test_a_new_token(tmp_path: Path) -> None:
    for command in of_kind(TOKEN):
        (tmp_path / "callers.yaml").write_text(run(here(shlex.split(command)), tmp_path), encoding="utf-8")
        assert len(read_callers(tmp_path / "callers.yaml")) == 1


def test_replay(server: ServerProcess, tmp_path: Path) -> None:
    (keep,) = (command for command in of_kind(CLIENT) if "--save answers.jsonl" in command)
    for command in (keep, *of_kind(REPLAY)):
        assert run([*here(shlex.split(command)), "--server", server.grpc], tmp_path).strip()


def test_compare(server: ServerProcess, tmp_path: Path) -> None:
    """Of two models that the server has."""
    (tmp_path / "prompts.jsonl").write_text('{"text": "Where is my order?"}\n')
    (command,) = of_kind(COMPARE)
    words = [{"big": "demo", "small": "translator"}.get(word, word) for word in here(shlex.split(command))]
    assert "machine time of 1,000 requests" in run([*words, "--server", server.grpc, "--rounds", "1"], tmp_path)
    assert "translator" in (tmp_path / "compared.html").read_text(encoding="utf-8")


def test_serve_and_record(tmp_path: Path) -> None:
    for command in of_kind(RECORD):
        words = [str(tmp_path / word) if word.endswith(".jsonl") else word for word in shlex.split(command)[2:]]
        with serving(tmp_path / "log", "--demo", *words) as process:
            assert process.serving()


def test_a_model_repository(tmp_path: Path) -> None:
    """The commands of its page, on the folder that the page shows."""
    demo = REPOSITORY / "server" / "attendant" / "demo"
    shutil.copytree(demo / "bundle", tmp_path / "models" / "support" / "1")
    shutil.copytree(demo / "bundle", tmp_path / "models" / "support" / "2")
    shutil.copytree(demo / "sentiment", tmp_path / "models" / "moods")
    followed, explicit, *commands = (shlex.split(command) for command in of_kind(REPOSITORY_COMMAND))
    with serving(tmp_path / "log", *_within(tmp_path, followed[2:])) as process:
        assert process.serving("support@2")
    with serving(tmp_path / "log", *_within(tmp_path, explicit[2:])) as process:
        for words in commands:
            assert run([*here(words), "--server", process.grpc], tmp_path).strip()
        assert process.serving("support")
        assert not process.serving("support@1")


def _within(folder: Path, words: list[str]) -> list[str]:
    return [str(folder / word) if word == "models" else word for word in words]


OF_STRANGERS = [block for block in blocks("python") if "tritonclient" in block.text]
"""Programs with clients that nobody here wrote: ``tests/strangers/test_pages.py`` runs them."""
CALLS = [block for block in blocks("python") if "127.0.0.1" in block.text and block not in OF_STRANGERS]
MAKES_A_MODEL = [block for block in blocks("python") if "save_pretrained" in block.text]


def test_no_program_is_left_out() -> None:
    assert len(CALLS) + len(MAKES_A_MODEL) + len(OF_STRANGERS) == len(blocks("python"))


@pytest.mark.parametrize(
    "program", [pytest.param(block, id=f"{block.page}:{number}") for number, block in enumerate(CALLS)]
)
def test_programs(program: Block, server: ServerProcess, tmp_path: Path) -> None:
    assert GRPC in program.text or HTTP in program.text
    text = program.text.replace(GRPC, server.grpc).replace(HTTP, server.http)
    assert len(run([sys.executable, "-c", text], tmp_path).split()) > 1


def test_the_first_programs_are_short() -> None:
    programs = [block.text for block in blocks("python") if block.page == "README.md"]
    lines = [[line for line in program.splitlines() if line] for program in programs]
    assert [len(each) <= most for each, most in zip(lines, (10, 5), strict=True)] == [True, True]
    assert "OpenAI(base_url=" in programs[1]


def test_export_and_serve(tmp_path: Path) -> None:
    import attendant_export.cli  # noqa: F401 - what the commands need

    (program,) = MAKES_A_MODEL
    run([sys.executable, "-c", program.text], tmp_path)
    for command in of_kind(EXPORT):
        run(here([*shlex.split(command), "--overwrite"]), tmp_path)
    for number, command in enumerate(of_kind(SERVE)):
        words = shlex.split(command)
        with serving(tmp_path / f"log{number}", tmp_path / words[2]) as process:
            models = run([*here([words[0], "models"]), "--server", process.grpc], tmp_path)
            assert "my-model" in models


@pytest.mark.parametrize("command", of_kind(TRACED))
def test_serving_with_traces(command: str, tmp_path: Path) -> None:
    make_encoders(tmp_path / "encoders")
    with serving(tmp_path / "log", tmp_path / "encoders" / "moods", *FLAGS, *shlex.split(command)[2:]) as process:
        assert "attendant_trace_spans_total" in process.page()


def test_transcribe(tmp_path: Path) -> None:
    import numpy as np
    import soundfile
    from attendant_export.cli import main

    from tests.export.seq2seq_families import save_folder
    from tests.test_speech import RATE, sound

    save_folder("whisper", tmp_path / "whisper")
    assert main([str(tmp_path / "whisper"), str(tmp_path / "bundles" / "whisper")]) == 0
    for name in ("talk.wav", "talk.flac"):
        soundfile.write(tmp_path / name, np.frombuffer(sound(2).pcm16, "<i2"), RATE)
    with serving(tmp_path / "log", tmp_path / "bundles") as process:
        for command in of_kind(TRANSCRIBE):
            run([*here(shlex.split(command)), "--server", process.grpc], tmp_path)


def test_a_port_for_gateways(tmp_path: Path) -> None:
    (command,) = of_kind(ENGINE)
    words = [word.replace("50061", "0") for word in shlex.split(command)[2:]]
    with serving(tmp_path / "log", *words, *FLAGS) as process:
        assert any(re.match(r"attendant: VllmEngine of demo on 127\.0\.0\.1:\d+$", line) for line in process.output)


def test_help_of_serve(tmp_path: Path) -> None:
    (command,) = of_kind(HELP)
    assert "ATTENDANT_ENGINE__MAX_NUM_SEQS" in run(here(shlex.split(command)), tmp_path)


def test_make_loadtest(server: ServerProcess, tmp_path: Path) -> None:
    (command,) = of_kind(LOAD)
    words = [server.grpc if word == GRPC else word for word in here(recipe(command))]
    run([*words, "-t", "3s", "--only-summary"], REPOSITORY)


def test_make_bench(tmp_path: Path) -> None:
    """The same command on a tiny bundle: the benchmark's own model takes minutes to make."""
    (command,) = of_kind(QUICK_BENCH)
    bundle = make_synthetic_bundle(tmp_path / "tiny", eos_bias=-50)
    words = [sys.executable, *recipe(command)[1:], "--bundle", str(bundle), "--concurrency", "2"]
    assert "server/bare" in run(words, tmp_path)


class _Understood(Exception):
    """The arguments of a command are right."""


@pytest.mark.parametrize("command", of_kind(BENCH))
def test_benchmarks_are_understood(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hours of measuring end where the arguments have been read."""
    from attendant_loadtest.bench.__main__ import main

    parse = argparse.ArgumentParser.parse_args

    def parse_and_end(self: argparse.ArgumentParser, *arguments: Any) -> NoReturn:
        parse(self, *arguments)
        raise _Understood

    words = recipe(re.sub(r"\s+#.*", "", command))
    assert words[1:3] == ["-m", "attendant_loadtest.bench"]
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_end)
    with pytest.raises(_Understood):
        main(words[3:])


@pytest.mark.parametrize("command", of_kind(TARGET))
def test_make_knows_its_targets(command: str) -> None:
    run(["make", "-n", *shlex.split(command)[1:]], REPOSITORY)


@pytest.mark.network
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
    *_, command = run(["make", "-n", "--no-print-directory", target], REPOSITORY).splitlines()
    assert "pytest" in command
    assert (left_out in command) if left_out else (" -m 'not" not in command and ' -m "not' not in command)


@pytest.mark.parametrize("page", ["docs/serving.md", "docs/alerts.md"])
def test_settings_files_are_understood(page: str, tmp_path: Path) -> None:
    (block,) = (block for block in blocks("yaml") if block.page == page)
    (tmp_path / "config.yaml").write_text(block.text, encoding="utf-8")
    parser = argparse.ArgumentParser()
    arguments = SettingsArguments(parser)
    settings = arguments.load(parser.parse_args(["--config", str(tmp_path / "config.yaml")]))
    if page == "docs/serving.md":
        assert settings.engine.max_num_seqs == 16
    else:
        assert settings.slo.by_model().of("smollm2").ttft == Objective(seconds=0.3, share=0.99)


RUN_ELSEWHERE = re.compile(r"^(attendant|docker|helm|kubectl|pip|python -m) ", re.MULTILINE)


@pytest.mark.parametrize("block", [pytest.param(b, id=b.page) for b in blocks("text") if RUN_ELSEWHERE.search(b.text)])
def test_what_is_not_run_says_why(block: Block) -> None:
    assert block.after.startswith("*Not run by the")
