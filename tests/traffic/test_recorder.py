"""Calls are kept by a thread of its own; what cannot be kept is counted, and nobody waits."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from pathlib import Path

import pytest
from attendant.traffic.calls import KeptCall
from attendant.traffic.files import RotatingFile
from attendant.traffic.recorder import MAX_WAITING_BYTES, Recorder
from attendant_proto.v1 import generation_pb2 as pb

REQUEST = pb.GenerateRequest(text="a text")
ANSWER = pb.GenerateResponse(text="an answer", token_ids=[1, 2])


def recorder_of(path: Path, share: float = 1.0, max_bytes: int = 10_000) -> tuple[Recorder, Counter[str]]:
    counts: Counter[str] = Counter()
    return Recorder(RotatingFile(path, max_bytes, 2), share, lambda outcome: counts.update([outcome])), counts


def test_calls_are_there_when_it_has_closed(tmp_path: Path) -> None:
    recorder, counts = recorder_of(tmp_path / "f")
    recorder.start()
    for _ in range(20):
        recorder.keep(REQUEST, [ANSWER])
    recorder.close()
    calls = [KeptCall.parse(line) for line in (tmp_path / "f").read_text().splitlines()]
    assert [(call.request, call.responses) for call in calls] == [(REQUEST, (ANSWER,))] * 20
    assert counts == {"written": 20}


@pytest.mark.parametrize(("share", "expected"), [(1.0, {True}), (0.0, {False}), (0.5, {True, False})])
def test_a_share_of_calls_is_wanted(tmp_path: Path, share: float, expected: set[bool]) -> None:
    recorder, _ = recorder_of(tmp_path / "f", share)
    assert {recorder.wants() for _ in range(200)} == expected


def test_what_is_too_large_for_a_file_is_counted(tmp_path: Path) -> None:
    recorder, counts = recorder_of(tmp_path / "f", max_bytes=1024)
    recorder.start()
    recorder.keep(pb.GenerateRequest(text="x" * 2000), [ANSWER])
    recorder.close()
    assert counts == {"too_large": 1}
    assert (tmp_path / "f").read_text() == ""


def test_calls_that_find_no_room_in_memory_are_dropped_at_once(tmp_path: Path) -> None:
    """Its thread has not been started: nothing is ever written."""
    recorder, counts = recorder_of(tmp_path / "f")
    large = pb.GenerateRequest(text="x" * (MAX_WAITING_BYTES // 2 - 1000))
    for _ in range(3):
        recorder.keep(large, [])
    assert counts == {"dropped": 1}


def test_a_file_that_cannot_be_written_fails_no_call_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    room = len(KeptCall.of(REQUEST, [ANSWER]).line()) + 10
    recorder, counts = recorder_of(folder / "f", max_bytes=room)
    recorder.start()
    recorder.keep(REQUEST, [ANSWER])  # fills the file, so that the next one needs another
    written = threading.Event()
    while not written.wait(0.01) and counts["written"] < 1:
        pass
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            recorder.keep(REQUEST, [ANSWER])
        recorder.close()
    assert counts["failed"] == 3
    assert sum("cannot be recorded" in record.message for record in caplog.records) == 1


def test_a_file_that_cannot_be_opened_says_so_at_the_start(tmp_path: Path) -> None:
    recorder, _ = recorder_of(tmp_path / "nowhere" / "f")
    with pytest.raises(FileNotFoundError):
        recorder.start()
    recorder.close()
