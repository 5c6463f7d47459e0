"""What an export tells while it works, on a terminal and on a pipe."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import threading

import pytest
from attendant_export.progress import no_step, silent, told

_EVERY_S = 0.01


class Told(io.StringIO):
    """A stream that can be waited on for a number of messages."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal
        self.messages = threading.Semaphore(0)

    def isatty(self) -> bool:
        return self.terminal

    def flush(self) -> None:
        self.messages.release()

    def wait(self, count: int) -> None:
        for _ in range(count):
            assert self.messages.acquire(timeout=120)


def test_a_pipe_gets_lines() -> None:
    stream = Told(terminal=False)
    with told("trace", stream, _EVERY_S) as step:
        stream.wait(1)
        step("layer 3 of 30")
        stream.wait(2)
    lines = stream.getvalue().splitlines()
    assert all(line.startswith("trace     ") for line in lines)
    assert lines[0].endswith(" s ...")
    assert any(line.endswith(" s ... layer 3 of 30") for line in lines)
    assert lines[-1].endswith(" s"), "the last line is the whole stage's"
    assert "\r" not in stream.getvalue()


def test_a_terminal_has_one_line_that_is_written_over() -> None:
    stream = Told(terminal=True)
    with told("trace", stream, _EVERY_S) as step:
        step("layer 3 of 30")
        stream.wait(3)
    text = stream.getvalue()
    assert text.startswith("trace     \r")
    assert "layer 3 of 30\x1b[K" in text
    assert text.count("\n") == 1
    last = text.rpartition("\r\x1b[K")[2]
    assert last.startswith("trace  ")
    assert last.endswith(" s\n")


def test_a_long_step_stays_within_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    stream = Told(terminal=True)
    with told("trace", stream, _EVERY_S) as step:
        step("x" * 100)
        stream.wait(3)
    looks = stream.getvalue().split("\r")
    assert max(len(look.partition("\x1b")[0].strip("\n")) for look in looks) == 39


@pytest.mark.parametrize("terminal", [False, True])
def test_a_failure_ends_the_line_and_goes_on(terminal: bool) -> None:
    stream = Told(terminal=terminal)

    def load() -> None:
        with told("load", stream, _EVERY_S):
            stream.wait(2)
            raise ValueError("no such thing")

    with pytest.raises(ValueError, match="no such thing"):
        load()
    assert stream.getvalue().endswith("load      failed\n")
    assert not [thread for thread in threading.enumerate() if thread.name == "progress of load"]


def test_a_quick_stage_is_one_line_on_a_pipe() -> None:
    stream = Told(terminal=False)
    with told("seal", stream):
        pass
    assert stream.getvalue().count("\n") == 1


def test_silence() -> None:
    with silent("load") as step:
        assert step is no_step
        step("anything")


def test_a_real_terminal_sees_the_time_move() -> None:
    program = (
        "import threading\n"
        "from attendant_export.progress import on_stderr\n"
        "with on_stderr('trace') as step:\n"
        "    step('layer 1 of 2')\n"
        "    input()\n"
    )
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        while seen.count(b"layer 1 of 2") < 3:
            seen += os.read(ours, 4096)
        process.communicate(b"\n", timeout=120)
        seen += os.read(ours, 4096)
    os.close(ours)
    assert process.returncode == 0
    assert seen.count(b"\n") == 1
