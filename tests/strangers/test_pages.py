"""The programs in docs/ that use clients nobody here wrote, run as their readers run them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.docs.markdown import Block
from tests.docs.test_commands import GRPC, HTTP, OF_STRANGERS
from tests.strangers.environments import TRITON, TRITON_HTTP, environment
from tests.system.server import HANGS_S, ServerProcess, serving
from tests.system.server import environment as variables

HEAR = [block for block in OF_STRANGERS if "talk.wav" in block.text]


def run(program: Block, address: str, folder: Path) -> str:
    """What a program prints."""
    over_http = "tritonclient.http" in program.text
    here, client = (HTTP.removeprefix("http://"), TRITON_HTTP) if over_http else (GRPC, TRITON)
    assert here in program.text
    words = [environment(client) / "bin" / "python", "-c", program.text.replace(here, address)]
    done = subprocess.run(
        list(map(str, words)), cwd=folder, env=variables(), capture_output=True, text=True, timeout=HANGS_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("program", [b for b in OF_STRANGERS if b not in HEAR], ids=lambda block: block.page)
def test_programs(program: Block, server: ServerProcess, tmp_path: Path) -> None:
    address = server.http.removeprefix("http://") if "tritonclient.http" in program.text else server.grpc
    assert len(run(program, address, tmp_path).split()) > 1


def test_programs_that_hear(tmp_path: Path) -> None:
    from attendant_export.cli import main

    from tests.export.seq2seq_families import save_folder
    from tests.test_speech import RATE, sound

    assert HEAR
    save_folder("whisper", tmp_path / "whisper")
    assert main([str(tmp_path / "whisper"), str(tmp_path / "bundles" / "whisper")]) == 0
    soundfile.write(tmp_path / "talk.wav", np.frombuffer(sound(2).pcm16, "<i2"), RATE)
    with serving(tmp_path / "log", tmp_path / "bundles") as process:
        for program in HEAR:
            assert "talk.wav" in run(program, process.grpc, tmp_path)
