"""The command line against a real server."""

from __future__ import annotations

import json
import math
import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest

from tests.system.server import HANGS_S, LONG, ServerProcess, attendant, environment, eventually


def test_generate_streams_text(server: ServerProcess) -> None:
    done = attendant("generate", "hello", "--server", server.grpc, "--max-tokens", 20, "--stats")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("\n")
    assert len(done.stdout) > 1
    assert "20 new" in done.stderr


def test_generate_reads_standard_input_and_prints_json(server: ServerProcess) -> None:
    arguments = ("--server", server.grpc, "--max-tokens", 6, "--json", "--raw", "--seed", 3, "--temperature", 1)
    piped = attendant("generate", "-", *arguments, stdin="hello")
    given = attendant("generate", "hello", *arguments)
    answer = json.loads(piped.stdout)
    assert answer["usage"]["prompt_tokens"] == 5  # raw: no template around it
    assert len(answer["token_ids"]) == 6
    assert answer["reason"] == "FINISH_REASON_LENGTH"
    assert json.loads(given.stdout)["token_ids"] == answer["token_ids"]


def test_generate_uses_the_chat_template(server: ServerProcess) -> None:
    done = attendant("generate", "hello", "--server", server.grpc, "--max-tokens", 1, "--json")
    assert json.loads(done.stdout)["usage"]["prompt_tokens"] == 8  # <|user|>hello<|end|><|assistant|>


def test_generate_scores_an_answer_that_is_given(server: ServerProcess) -> None:
    asked = ("generate", "hello", "--server", server.grpc)
    score = json.loads(attendant(*asked, "--score", "abc", "--json").stdout)
    assert [token["text"] for token in score["tokens"]] == ["a", "b", "c"]
    assert score["logprob"] == pytest.approx(sum(token["logprob"] for token in score["tokens"]))
    assert score["perplexity"] == pytest.approx(math.exp(-score["logprob"] / 3))
    lines = attendant(*asked, "--score", "abc").stdout.splitlines()
    assert len(lines) == 4
    assert "3 tokens, perplexity" in lines[-1]
    refused = attendant(*asked, "--score", "abc", "--max-tokens", 2)
    assert "stopping.max_tokens" in refused.stderr
    assert "forced_answer" in attendant(*asked, "--score", "").stderr


def test_errors_of_calls_take_one_line(server: ServerProcess) -> None:
    done = attendant("generate", "x", "--server", server.grpc, "--top-p", 3)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "INVALID_ARGUMENT" in done.stderr
    assert "sampling.top_p" in done.stderr
    done = attendant("generate", "x", "--server", server.grpc, "--model", "other")
    assert done.returncode == 1
    assert "NOT_FOUND" in done.stderr
    assert "'fast'" in done.stderr


@pytest.mark.parametrize("words", [("generate", "x"), ("models",), ("chat",)])
def test_no_server_is_said_with_the_address(words: tuple[str, ...]) -> None:
    done = attendant(*words, "--server", "127.0.0.1:1")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "127.0.0.1:1" in done.stderr
    assert "refused" in done.stderr


def test_models_lists_them(server: ServerProcess) -> None:
    done = attendant("models", "--server", server.grpc)
    header, row = done.stdout.splitlines()
    assert header.split()[0] == "NAME"
    assert row.split()[:2] == ["fast", "1"]
    (model,) = json.loads(attendant("models", "--server", server.grpc, "--json").stdout)
    assert model["name"] == "fast"
    assert model["max_running"] == 4


def test_chat_answers_remembers_and_forgets(server: ServerProcess) -> None:
    lines = "hello\nand now?\n/reset\nhello\n/what\n/exit\nnever\n"
    done = attendant("chat", "--server", server.grpc, "--max-tokens", 5, "--stats", "--system", "be brief", stdin=lines)
    assert done.returncode == 0, done.stderr
    first, second, third = (int(line.split()[0]) for line in done.stderr.splitlines())
    assert second > first == third
    assert "/reset" in done.stdout


def test_a_closed_pipe_is_no_drama(server: ServerProcess) -> None:
    words = [sys.executable, "-m", "attendant", "generate", "x", "--server", server.grpc]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate(timeout=HANGS_S)
    assert process.returncode == 1
    assert b"Traceback" not in errors
    assert b"Exception" not in errors


def test_ctrl_c_ends_generate_quietly(slow_server: ServerProcess) -> None:
    words = [
        sys.executable,
        "-m",
        "attendant",
        "generate",
        "x",
        "--server",
        slow_server.grpc,
        "--max-tokens",
        str(LONG),
    ]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    eventually(lambda: slow_server.metrics()["num_requests_running"] == 1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=HANGS_S)
    assert process.returncode == 130
    assert b"Traceback" not in errors
    eventually(slow_server.is_idle)


def test_ctrl_c_in_a_chat_stops_the_answer_and_not_the_program(slow_server: ServerProcess) -> None:
    """In a real terminal, as a person has it."""
    child, terminal = pty.fork()
    if child == 0:
        words = ["-m", "attendant", "chat", "--server", slow_server.grpc, "--max-tokens", str(LONG)]
        os.execve(sys.executable, [sys.executable, *words], {**environment(), "TERM": "dumb"})
    try:
        _read_until(terminal, b"> ")
        os.write(terminal, b"hello\n")
        eventually(lambda: slow_server.metrics()["num_requests_running"] == 1)
        os.write(terminal, b"\x03")
        eventually(slow_server.is_idle)
        os.write(terminal, b"again\n")
        eventually(lambda: slow_server.metrics()["num_requests_running"] == 1)
        os.write(terminal, b"\x03")
        eventually(slow_server.is_idle)
        os.write(terminal, b"\x04")
        _read_until(terminal, None)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    finally:
        os.close(terminal)


def _read_until(terminal: int, end: bytes | None, timeout_s: float = HANGS_S) -> None:
    """Read until ``end`` shows up, or until the other side closes."""
    deadline = time.monotonic() + timeout_s
    seen = b""
    while end is None or end not in seen:
        assert time.monotonic() < deadline, seen
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                seen += os.read(terminal, 65536)
            except OSError:  # Linux's way to say that the other side is closed
                return
