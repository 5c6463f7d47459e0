"""The thread that writes: nobody waits for it, and what it cannot write is counted and said."""

from __future__ import annotations

import fcntl
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
from attendant.logs import writer
from attendant.logs.lines import TextLines
from attendant.logs.writer import LogHandler

from tests.logs.records import record
from tests.system.server import HANGS_S, eventually

LONG = "x" * 1000
DROPPED = re.compile(r"WARNING attendant.logs.writer: dropped lines of the log: (\d+);")
Pipe = tuple[IO[bytes], IO[bytes]]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """Ends of a pipe that has room for four kilobytes: what reads it, and what is written to."""
    reader, target = os.pipe()
    fcntl.fcntl(target, fcntl.F_SETPIPE_SZ, 4096)
    with os.fdopen(target, "wb", 0) as second, os.fdopen(reader, "rb", 0) as first:
        yield first, second


@contextmanager
def writing(descriptor: int, lines: logging.Formatter | None = None, most_waiting: int = 1000) -> Iterator[LogHandler]:
    """A handler that has ended with the block, so that it writes to nothing that has this number afterwards."""
    handler = LogHandler(lines or TextLines(), descriptor, most_waiting)
    try:
        yield handler
    finally:
        handler.close()
        handler._thread.join(HANGS_S)
        assert not handler._thread.is_alive()


def read_until(end: int, found: str, limit: int = 10**7) -> str:
    """What a pipe gives, up to the line that has it."""
    seen = b""
    while found.encode() not in seen or not seen.endswith(b"\n"):
        seen += os.read(end, 65536)
        assert len(seen) < limit, f"there is no {found}"
    return seen.decode()


def numbers(text: str) -> list[int]:
    return [int(found) for found in re.findall(r"tests: (\d+)", text)]


def test_lines_come_whole_and_in_order(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file, writing(file.fileno(), most_waiting=10_000) as handler:
        for number in range(5000):
            handler.handle(record("%d", number))
    lines = (tmp_path / "log").read_text().splitlines()
    assert numbers("\n".join(lines)) == [*range(5000)]
    assert len(lines) == 5000
    assert handler.num_dropped == 0


def test_nobody_waits_for_a_reader_that_does_not_read(pipe: Pipe) -> None:
    with writing(pipe[1].fileno(), most_waiting=20) as handler:
        for number in range(500):  # it would wait for ever if it waited
            handler.handle(record("%d " + LONG, number))
        assert handler.num_dropped > 0
        found = ""
        while len(numbers(found)) + sum(map(int, DROPPED.findall(found))) < 500:
            found += os.read(pipe[0].fileno(), 65536).decode()
        handler.handle(record("after"))
        found = read_until(pipe[0].fileno(), "tests: after")
        assert "dropped" not in found


def test_the_end_of_a_process_does_not_wait_for_ever(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    with writing(pipe[1].fileno()) as handler:
        for number in range(100):
            handler.handle(record("%d " + LONG, number))
        with monkeypatch.context() as brief:
            brief.setattr(writer, "FLUSH_S", 0.01)
            handler.flush()
        assert len(numbers(read_until(pipe[0].fileno(), "tests: 99 "))) == 100


def test_a_reader_that_has_gone_costs_its_lines_and_nothing_else(pipe: Pipe) -> None:
    with writing(pipe[1].fileno()) as handler:
        pipe[0].close()
        for number in range(10):
            handler.handle(record("%d", number))
        eventually(lambda: handler.num_dropped == 10)


def test_a_full_disk_costs_its_lines_and_is_told_when_there_is_room(tmp_path: Path) -> None:
    with open("/dev/full", "wb", 0) as full, writing(full.fileno()) as handler:
        handler.handle(record("lost"))
        eventually(lambda: handler.num_dropped == 1)
        with (tmp_path / "log").open("wb") as file:
            os.dup2(file.fileno(), full.fileno())
        handler.handle(record("kept"))
    kept, told = (tmp_path / "log").read_text().splitlines()
    assert kept.endswith("tests: kept")
    assert told.endswith("dropped lines of the log: 1; what reads it is too slow, or fails")


def test_a_line_that_was_cut_does_not_run_into_the_next(pipe: Pipe) -> None:
    os.set_blocking(pipe[1].fileno(), False)
    with writing(pipe[1].fileno()) as handler:
        handler.handle(record("long %s", LONG * 8))  # the pipe takes half of it, and then no more
        eventually(lambda: handler._torn)
        pipe[0].close()
        eventually(lambda: handler.num_dropped == 1)
        again, target = os.pipe()
        with os.fdopen(again, "rb", 0) as reader:
            os.dup2(target, pipe[1].fileno())
            os.close(target)
            handler.handle(record("next"))
            found = read_until(reader.fileno(), "dropped")
    assert found.startswith("\n20")
    assert "tests: next\n" in found


def test_a_line_that_cannot_be_made_is_said_and_no_end(tmp_path: Path) -> None:
    class Fails(TextLines):
        def format(self, record: logging.LogRecord) -> str:
            if record.msg == "wrong":
                raise ValueError(record.msg)
            return super().format(record)

    with (tmp_path / "log").open("wb") as file, writing(file.fileno(), Fails()) as handler:
        for text in ("wrong", "right"):
            handler.handle(record(text))
    first, second = (tmp_path / "log").read_text().splitlines()
    assert first.endswith("ERROR attendant.logs.writer: a line of attendant.tests cannot be written: ValueError")
    assert second.endswith("tests: right")
