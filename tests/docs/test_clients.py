"""The programs of docs/clients.md for several servers, while one of them dies, and while all are busy."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.docs.markdown import REPOSITORY, Block, blocks
from tests.synthetic import make_slow_bundle
from tests.system.server import HANGS_S, ServerProcess, environment, eventually, request, serving

FIRST, SECOND = "127.0.0.1:50051", "127.0.0.1:50052"
PROGRAMS = [block for block in blocks("python") if block.page == "docs/clients.md" and SECOND in block.text]
NUMBER, MAX_TOKENS = 4, 200
SENTIMENT = REPOSITORY / "server" / "attendant" / "demo" / "sentiment"

by_program = pytest.mark.parametrize("program", PROGRAMS, ids=["blocking", "asyncio"])


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model by the name that the programs ask for, whose answers take a while."""
    return make_slow_bundle(tmp_path_factory.mktemp("bundles") / "slow", name="demo")


@pytest.fixture
def servers(slow: Path, tmp_path: Path) -> Iterator[list[ServerProcess]]:
    """Two."""
    flags = ("--no-admission.predict", "--engine.threads", 1, "--no-engine.spinning", "--encoder.threads", 1)
    with ExitStack() as stack:
        yield [stack.enter_context(serving(tmp_path / f"{name}.log", slow, SENTIMENT, *flags)) for name in "ab"]


def running(program: Block, first: ServerProcess, second: ServerProcess) -> subprocess.Popen[bytes]:
    """The program, with fewer and longer answers."""
    text = program.text.replace("range(10)", f"range({NUMBER})").replace("max_tokens=40", f"max_tokens={MAX_TOKENS}")
    text = text.replace(FIRST, first.grpc).replace(SECOND, second.grpc)
    assert text.count(f"range({NUMBER})") == text.count(f"max_tokens={MAX_TOKENS}") == 1
    words = [sys.executable, "-c", text]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())


def answer_of(server: ServerProcess, number: int) -> str:
    """What the program prints of one question."""
    asked = request(f"Where is my order {number}?", MAX_TOKENS, model="demo")
    asked.sampling.temperature = 0
    return "".join(part.text for part in server.generation.Generate(asked, timeout=HANGS_S)).replace("\n", " ")


@by_program
def test_answers_are_whole_although_a_server_dies(program: Block, servers: list[ServerProcess]) -> None:
    process = running(program, *servers)
    dead: list[ServerProcess] = []

    def somebody_answers() -> bool:
        dead[:] = [server for server in servers if server.metrics()["num_requests_running"] > 0][:1]
        return bool(dead)

    eventually(somebody_answers)
    dead[0].process.kill()
    told, errors = process.communicate(timeout=HANGS_S)
    assert process.returncode == 0, errors.decode()
    (left,) = (server for server in servers if server not in dead)
    lines = told.decode().split("\n")
    assert lines[:NUMBER] == [f"{number} {answer_of(left, number)}" for number in range(NUMBER)]
    assert lines[NUMBER:] in ([""], ["positive", ""])


def test_calls_that_are_refused_are_made_again_when_the_server_says(slow: Path, tmp_path: Path) -> None:
    """All at once, to a server that takes one and lets one wait: the policy of retries brings most of them through, and
    who has no luck in four tries is told why."""
    (program,) = (block for block in PROGRAMS if "asyncio" in block.text)
    flags = ("--engine.max-num-seqs", 1, "--engine.max-queue", 1, "--no-admission.predict", "--engine.threads", 1)
    with serving(tmp_path / "log", slow, SENTIMENT, *flags) as server:
        process = running(program, server, server)
        told, errors = process.communicate(timeout=HANGS_S)
        assert process.returncode == 0, errors.decode()
        *lines, _ = told.decode().split("\n")
        busy = [line for line in lines[:NUMBER] if "RESOURCE_EXHAUSTED: model 'demo' already holds" in line]
        assert len(lines) == NUMBER + 1
        assert len(busy) < NUMBER
        failed = {name: count for name, count in server.metrics().items() if "request_failure_total" in name}
        assert sum(count for name, count in failed.items() if "queue_full" in name) > len(busy)  # each was made again
