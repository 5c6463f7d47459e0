"""argv to commands: help, versions, wrong usage. What talks to a server is under tests/system."""

from __future__ import annotations

import builtins
import subprocess
import sys
from typing import Any

import pytest
from attendant.cli import COMMANDS, main


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for name in COMMANDS:
        assert f"\n  {name} " in text or f"\n    {name} " in text


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "commands" in capsys.readouterr().out


def test_help_is_quick_because_it_imports_nothing_heavy() -> None:
    script = (
        "import sys; from attendant.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'grpc', 'pydantic', 'numpy', 'onnxruntime', 'torch', 'prometheus_client'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120, stdout=subprocess.DEVNULL)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    from attendant import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"attendant {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["fly"],
        ["generate"],
        ["generate", "x", "--max-tokens", "-1"],
        ["generate", "x", "--max-tokens", "many"],
        ["generate", "x", "--timeout", "0"],
        ["models", "--index", "-v"],
        ["serve", "--engine.max-num"],
        ["serve", "--nothing", "1"],
        ["demo", "some/bundle"],
    ],
)
def test_wrong_usage_exits_2_and_says_why(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "error: " in capsys.readouterr().err.splitlines()[-1]


def test_wrong_settings_exit_2_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("serve", "demo"):
        assert main([command, "--engine.max-num-seqs", "0"]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert error.startswith("attendant: error: argument --engine.max-num-seqs")


def test_a_prompt_that_is_not_text_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "\udcff"]) == 2
    assert "UTF-8" in capsys.readouterr().err


def test_export_without_its_extra_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] in ("attendant_export", "torch"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return whole(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    for arguments in (["export"], ["export", "a", "b"], ["export", "a", "b", "--precision", "int8"]):
        assert main(arguments) == 2
        assert "pip install torch==2.13.0" in capsys.readouterr().err
