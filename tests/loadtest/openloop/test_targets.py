"""The open loop against a real server, over both protocols."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from attendant.cli import main
from attendant.client.access import Access
from attendant_loadtest.openloop.figures import figures
from attendant_loadtest.openloop.loop import Run, run
from attendant_loadtest.openloop.samples import ANSWERED, CANCELLED, FAILED, LATE
from attendant_loadtest.openloop.server_watch import ServerWatch
from attendant_loadtest.openloop.subject import Subject
from attendant_loadtest.schedule.arrivals import Constant
from attendant_loadtest.schedule.mix import alike, plan
from attendant_loadtest.schedule.planned import Planned, Schedule, Segment
from attendant_loadtest.schedule.traces import read_trace

from tests.system.server import ServerProcess


def subject(server: ServerProcess, protocol: str, endpoint: str = "completions") -> Subject:
    address = server.http if protocol == "openai" else server.grpc
    return Subject("tiny", protocol, address, f"{server.http}/metrics", endpoint, Access(), vocab_size=50)


def asked(what: Subject, schedule: Schedule, **options: object) -> Run:
    async def measure() -> Run:
        async with what.target(1) as target:
            return await run(schedule, target, **options)  # type: ignore[arg-type]

    return asyncio.run(measure())


@pytest.mark.parametrize("protocol", ["attendant.v1", "openai"])
def test_every_token_is_counted(server: ServerProcess, protocol: str) -> None:
    found = asked(subject(server, protocol), plan(Constant(40), alike(6, 9), 0.5, 1))
    assert [(each.how, each.tokens, each.error) for each in found.samples] == [(ANSWERED, 9, "")] * 20
    assert all(each.prompt_tokens for each in found.samples)
    assert all(0 < each.ttft_s <= each.e2e_s for each in found.samples)
    assert all(sum(tokens for _, tokens in each.gaps) <= 8 for each in found.samples)
    assert figures(found, 40).outcomes == {ANSWERED: 20}


@pytest.mark.parametrize("protocol", ["attendant.v1", "openai"])
def test_a_server_that_stands_still_for_two_seconds_shows_in_the_highest_percentile(
    server: ServerProcess, protocol: str
) -> None:
    """Requests go on to come. Whoever came just after it was stopped has waited for two seconds."""
    stopped: list[float] = []

    def stall(begun_s: float) -> None:
        server.terminate(signal.SIGSTOP)
        stopped.append(time.monotonic() - begun_s)
        time.sleep(2)
        stopped.append(time.monotonic() - begun_s)
        server.terminate(signal.SIGCONT)

    thread: list[threading.Thread] = []

    def watch(now: Run) -> bool:
        if not thread and any(each.how == ANSWERED for each in now.samples):
            thread.append(threading.Thread(target=stall, args=(time.monotonic() - now.now_s(),)))
            thread[0].start()
        meanwhile = [each for each in now.samples if len(stopped) == 2 and stopped[0] < each.planned.at_s < stopped[1]]
        return bool(meanwhile) and all(each.end_s is not None for each in meanwhile)

    found = asked(subject(server, protocol), plan(Constant(20), alike(4, 2), 300, 1), watch=watch)
    thread[0].join()
    begin, end = stopped
    early = [each for each in found.samples if begin + 0.05 < each.planned.at_s < begin + 0.3]
    assert early
    assert all(each.ttft_s is not None and each.ttft_s > end - each.planned.at_s > 1.5 for each in early)
    times = figures(found, 20).ttft
    assert times is not None
    assert times.by_percentile[99] > 1000, "of few hundred requests some forty came meanwhile"


@pytest.mark.parametrize("protocol", ["attendant.v1", "openai"])
def test_callers_break_off_have_deadlines_and_are_refused(server: ServerProcess, protocol: str) -> None:
    prompt = (Segment(1, 4),)
    schedule = (
        Planned(0.0, prompt, 50, cancel_after=2),
        Planned(0.01, prompt, 50, deadline_s=1e-4),
        Planned(0.02, (Segment(1, 4000),), 50),
        Planned(0.03, prompt, 3, priority=7),
    )
    found = asked(subject(server, protocol), schedule)
    assert [each.how for each in found.samples] == [CANCELLED, LATE, FAILED, ANSWERED]
    assert found.samples[0].tokens >= 2
    assert "INVALID_ARGUMENT" in found.samples[2].error or found.samples[2].error.startswith("400: ")


def test_a_server_that_is_not_there_is_said(server: ServerProcess) -> None:
    gone = Subject("tiny", "openai", "http://127.0.0.1:1", "", "chat", Access())
    found = asked(gone, plan(Constant(10), alike(4, 2), 0.2, 1))
    assert {each.how for each in found.samples} == {FAILED}
    assert "cannot reach" in found.samples[0].error


def test_the_server_tells_what_it_did_meanwhile(server: ServerProcess) -> None:
    watch = ServerWatch(f"{server.http}/metrics", "tiny")

    async def measure() -> None:
        async with watch.watching(), subject(server, "attendant.v1").target(1) as target:
            await run(plan(Constant(40), alike(6, 9), 0.3, 1), target)

    asyncio.run(measure())
    assert watch.load is not None
    assert watch.load.busy > 0
    assert watch.load.rows > 0
    assert watch.load.processors is not None
    nobody = ServerWatch("http://127.0.0.1:1/metrics", "tiny")

    async def nothing() -> None:
        async with nobody.watching():
            pass

    asyncio.run(nothing())
    assert nobody.load is None


QUICK = ("--seconds", "1", "--prompt", "4-8", "--answer", "4")


def test_the_command_over_grpc_with_several_rates(
    server: ServerProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ("--html", str(tmp_path / "page.html"), "--samples", str(tmp_path / "samples"))
    target = ("--server", server.grpc, "--metrics", f"{server.http}/metrics", *QUICK)
    main(["loadtest", *target, "--rate", "5,20", "--ttft", "30s", "--json", *files])
    said = json.loads(capsys.readouterr().out)
    assert said["asked"]["rate"] == "5,20"
    assert (said["asked"]["prompt"], said["asked"]["answer"]) == ("4-8", "4")
    assert [each["name"] for each in said["runs"]] == ["5 requests/s", "20 requests/s"]
    for each in said["runs"]:
        assert each["outcomes"] == {ANSWERED: each["requests"]}
        assert each["server"]["busy"] > 0
        assert each["met"] is True
    lines = [json.loads(line) for line in (tmp_path / "samples").read_text().splitlines()]
    assert Counter(line["run"] for line in lines) == {each["name"]: each["requests"] for each in said["runs"]}
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


def test_the_command_over_http_finds_the_model_and_replays_what_was_saved(
    server: ServerProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "saved.jsonl"
    target = ("--openai", server.http, "--endpoint", "completions")
    mix = ("--families", "2", "--prefix", "3", "--cancels", "0.5", "--priorities", "0:1,5:1", "--arrivals", "bursty:2")
    main(["loadtest", *target, *QUICK, *mix, "--rate", "15", "--save", str(saved)])
    assert "tiny" not in capsys.readouterr().err
    assert {each.priority for each in read_trace("native", saved)} == {0, 5}
    main(["loadtest", *target, "--trace", f"native:{saved}", "--speed", "2", "--first", "5", "--json"])
    (again,) = json.loads(capsys.readouterr().out)["runs"]
    assert again["requests"] == 5


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "one of the arguments --rate --ramp --trace is required"),
        (["--rate", "0"], "rates are '0'"),
        (["--rate", "1,x"], "rates are '1,x'"),
        (["--ramp", "3"], "the ramp is '3'"),
        (["--ramp", "a-b"], "the ramp is 'a-b'"),
        (["--trace", "other:x"], "the trace is 'other:x'"),
        (["--trace", "native:/nowhere"], "cannot be read"),
        (["--rate", "1", "--speed", "2"], "are of traces"),
        (["--rate", "1", "--prefix", "9"], "with --families"),
        (["--rate", "1", "--families", "9"], "with --prefix"),
        (["--rate", "1", "--warmup", "99"], "99 of 30 s are to warm up"),
        (["--rate", "1,2", "--save", "x"], "--save with 2 rates"),
        (["--rate", "1", "--prompt", "many"], "lengths are 'many'"),
        (["--rate", "1", "--priorities", "1"], "priorities are '1'"),
        (["--rate", "1", "--ttft", "soon"], "a time is 'soon'"),
        (["--rate", "1", "--ttft", "1s", "--percentile", "100"], "the share is 1"),
        (["--rate", "1", "--prompt", "4000"], "are longer than tiny takes"),
    ],
)
def test_what_cannot_be_is_told(
    words: list[str], says: str, server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(["loadtest", "--server", server.grpc, *words])
    except SystemExit as ended:
        code = ended.code  # type: ignore[assignment]
    assert code == 2
    told = capsys.readouterr().err
    assert says in told
