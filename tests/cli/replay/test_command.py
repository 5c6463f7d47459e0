"""What ``attendant replay`` says of files that are of no use, before it asks a server anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from attendant.cli import main
from attendant.client.replay import command
from attendant.traffic.calls import KeptCall
from attendant_proto.v1 import generation_pb2


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "calls.jsonl: cannot be read: No such file or directory"),
        (b"", "there are no calls in it"),
        (b"\n\n", "there are no calls in it"),
        (b"\xff\xfe", "calls.jsonl:1: is not UTF-8: invalid start byte"),
        (b"\nwords\n", "calls.jsonl:2: is not JSON"),
        (b'{"a": 1}\n', "calls.jsonl:1: format is None; allowed: 1"),
    ],
)
def test_a_file_of_no_use_is_told_in_a_line(
    content: bytes | None, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "calls.jsonl"
    if content is not None:
        path.write_bytes(content)
    assert main(["replay", str(path), "--server", "127.0.0.1:1"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert says in shown.err


def test_calls_that_are_added_meanwhile_are_not_read(tmp_path: Path) -> None:
    """A server that records what is asked of it adds the calls of the replay to the file that it reads."""
    path = tmp_path / "calls.jsonl"
    line = KeptCall.of(generation_pb2.GenerateRequest(text="x" * 20_000), [generation_pb2.GenerateResponse()]).line()
    path.write_text(f"{line}\n" * 3)
    calls = command._calls([str(path)])
    places = []
    for place, _ in calls:
        places.append(place)
        with path.open("a") as file:
            file.write(f"{line}\n")
    assert places == [f"{path}:{number}" for number in (1, 2, 3)]


@pytest.mark.parametrize("flag", ["--concurrency", "--limit"])
def test_nothing_at_all_cannot_be_asked_for(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["replay", "calls.jsonl", flag, "0"])
    assert f"argument {flag}: 0 is not between 1 and" in capsys.readouterr().err
