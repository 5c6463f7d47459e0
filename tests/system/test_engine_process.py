"""A real server whose engines have processes of their own, and what a crash of one costs."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from tests.system.server import eventually, serving


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_no_engine_outlives_a_server_that_is_killed(fast: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", fast, "--engine.process") as server:
        (pid,) = map(int, re.findall(r"its engine is process (\d+)", server.log()))
        assert exists(pid)
        server.terminate(signal.SIGKILL)
        server.wait()
        eventually(lambda: not exists(pid))
