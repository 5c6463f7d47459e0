"""The programs of docs/clients.md that are not Python, run as their readers run them. Those in Python run in
``tests/docs/test_commands.py`` and ``test_clients.py`` there, Triton's in ``test_pages.py`` here."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.docs.markdown import REPOSITORY, Block, blocks
from tests.docs.test_commands import GRPC, HTTP
from tests.strangers.environments import BUF, environment
from tests.strangers.node import node_folder
from tests.system.server import HANGS_S, ServerProcess
from tests.system.server import environment as variables

SHELL = {"buf" if block.text.startswith("buf") else "curl": block for block in blocks("bash")}


def text_of(block: Block, server: ServerProcess) -> str:
    """With the addresses of a server."""
    return block.text.replace(HTTP, server.http).replace(GRPC, server.grpc)


def run(words: list[str], folder: Path, path: Path | None = None) -> str:
    """What a program prints. ``path``: of more programs."""
    more = {} if path is None else {"PATH": f"{path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        words, cwd=folder, env=variables() | more, capture_output=True, text=True, timeout=HANGS_S, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_no_program_is_left_out() -> None:
    assert {block.page for block in (*blocks("bash"), *blocks("js"))} == {"docs/clients.md"}
    assert set(SHELL) == {"buf", "curl"}
    assert len(blocks("bash")) == 2
    assert len(blocks("js")) == 1


def test_node(server: ServerProcess, tmp_path: Path) -> None:
    (program,) = blocks("js")
    (tmp_path / "node_modules").symlink_to(node_folder() / "node_modules")
    (tmp_path / "proto").symlink_to(REPOSITORY / "proto")
    (tmp_path / "client.js").write_text(text_of(program, server), encoding="utf-8")
    lines = r"streamed: (.*)\ncancelled: (.*)\nlate: (.*)\nwrong: (.*)\n"
    found = re.fullmatch(lines, run(["node", "client.js"], tmp_path), re.DOTALL)
    assert found
    streamed, cancelled, late, wrong = found.groups()
    assert streamed.strip()
    assert cancelled.strip()
    assert late == "DEADLINE_EXCEEDED"
    assert wrong == "INVALID_ARGUMENT: sampling.top_p is 3; allowed: greater than 0, at most 1"


def test_buf(server: ServerProcess, tmp_path: Path) -> None:
    told = run(["bash", "-e", "-c", text_of(SHELL["buf"], server)], tmp_path, environment(BUF) / "bin")
    assert "attendant.v1.Generation/Generate\n" in told
    assert '"finish": {' in told
    assert '"label": "positive"' in told


def test_buf_tells_what_is_wrong(server: ServerProcess, tmp_path: Path) -> None:
    """By the exit code that the page names."""
    command = text_of(SHELL["buf"], server).splitlines()[-2:]
    text = "\n".join(command).replace('"sentiment"', '"nobody"')
    done = subprocess.run(
        [str(environment(BUF) / "bin" / "buf"), *_words(text)[1:]], capture_output=True, text=True, check=False
    )
    assert done.returncode == 8 * 5
    assert '"code": "not_found"' in done.stderr


def _words(text: str) -> list[str]:
    return shlex.split(text.replace("\\\n", " "))


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_curl(server: ServerProcess, tmp_path: Path) -> None:
    told = run(["bash", "-e", "-c", text_of(SHELL["curl"], server)], tmp_path)
    models, chat = json.JSONDecoder().raw_decode(told)
    assert "demo" in {model["id"] for model in models["data"]}
    whole, _ = json.JSONDecoder().raw_decode(told[chat:].lstrip())
    assert whole["choices"][0]["message"]["content"]
    assert told.rstrip().endswith("data: [DONE]")


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_curl_tells_what_is_wrong(server: ServerProcess) -> None:
    command = text_of(SHELL["curl"], server).splitlines()[-2:]
    words = _words("\n".join(command).replace('"demo"', '"nobody"'))
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 22
    assert json.loads(done.stdout)["error"]["code"] == "model_not_found"
