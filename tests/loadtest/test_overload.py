"""Offered load beyond capacity: what is counted, what the oracle says, and the tool as a whole on a tiny model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from attendant.batching.policy import BatchLimits
from attendant_loadtest.overload.__main__ import main
from attendant_loadtest.overload.calls import ANSWERED, LATE, REFUSED, Ended, Work
from attendant_loadtest.overload.figure import main as draw
from attendant_loadtest.overload.oracle import Pace, Replayed, judge
from attendant_loadtest.overload.replays import EngineShape, replay_batches, replay_engine
from attendant_loadtest.overload.servers import Counted
from attendant_loadtest.overload.windows import Window, conserving, figures, table

SHAPE = EngineShape(max_running=2, context_length=64, prompt_budget=32, run_cost=0, prompts_apart=False)


def ended(at_s: float, size: int = 4, how: str = ANSWERED, took_s: float = 1.0, answer: int = 1) -> Ended:
    return Ended(Work((size,), answer), at_s, took_s, how, answer)


def arriving(*requests: Ended) -> list[tuple[float, Ended]]:
    return [(each.at_s, each) for each in requests]


def test_a_pace_is_found_from_windows_that_are_not_alike() -> None:
    counted = [
        Counted(runs, 0.01 * runs + 0.002 * inputs + 0.005 * answers, inputs, answers)
        for runs, inputs, answers in ((10, 500, 20), (40, 300, 90), (25, 10, 80), (5, 400, 0))
    ]
    pace = Pace.of(counted)
    assert (pace.run, pace.each_input, pace.each_answer) == pytest.approx((0.01, 0.002, 0.005))
    slow = pace.in_window(Counted(10, 2 * pace.seconds(10, 100, 10), 100, 10))
    assert (slow.run, slow.each_input, slow.each_answer) == pytest.approx((0.02, 0.004, 0.01))
    assert Pace.of([]) == Pace(0, 0, 0)


def test_a_pace_never_says_that_work_saves_time() -> None:
    pace = Pace.of([Counted(10, 1.0, 100, 0), Counted(10, 0.9, 200, 0), Counted(10, 0.8, 300, 0)])
    assert pace.each_input == 0
    assert pace.run > 0


def test_an_engine_is_replayed_step_by_step() -> None:
    pace = Pace(1.0, 0.0, 0.0)
    three = arriving(ended(0.0, answer=2), ended(0.5, answer=3), ended(0.5, answer=1))
    found = replay_engine(SHAPE, 100.0, pace, three)
    # the first: its prompt to 1, a token more to 2; the second: its prompt runs from 1 on; the third has a place then
    assert found.ends == [2, 4, 3]
    assert found.idle == [(4, float("inf"))]


def test_an_engine_ends_what_is_late() -> None:
    found = replay_engine(SHAPE, 2.5, Pace(1.0, 0.0, 0.0), arriving(ended(0.0, answer=30), ended(9.0)))
    assert found.ends[0] > 2.5
    assert found.ends[1] == 10


def test_batches_are_replayed_by_their_policy() -> None:
    limits = BatchLimits("packed", 100, 2)
    calls = arriving(*(Ended(Work((size,) * rows), at_s, 0, ANSWERED) for at_s, size, rows in ((0, 9, 2), (1, 9, 1))))
    found = replay_batches(limits, 100.0, Pace(1.0, 0.5, 0.0), calls)
    assert found.ends == [10, 15.5]
    late = replay_batches(limits, 5.0, Pace(1.0, 0.5, 0.0), calls)
    assert late.ends == [10, float("inf")]


def test_the_oracle_finds_whom_it_was_wrong_to_refuse() -> None:
    judged = partial(judge, deadline_s=2.0, pace=Pace(1.0, 0.0, 0.0), most=9, seed=0)

    def replay(pace: Pace, requests: Sequence[tuple[float, Ended]]) -> Replayed:
        """One after another, a second each."""
        ends: list[float] = []
        idle = []
        for at_s, _ in requests:
            free_s = ends[-1] if ends else 0.0
            idle += [(free_s, at_s)] if at_s > free_s else []
            ends.append(max(at_s, free_s) + 1)
        return Replayed(ends, [*idle, (ends[-1], float("inf"))])

    alone = judged([ended(0), ended(0.1, how=REFUSED)], replay=replay)
    assert (alone.looked_at, alone.wrong, alone.spare) == (1, 1, 1), "it would have been the second"
    full = judged([ended(0), ended(0.1), ended(0.2, how=REFUSED)], replay=replay)
    assert (full.wrong, full.spare) == (0, 0), "it would have been late itself"
    before = judged([ended(0), ended(0.1, how=REFUSED), ended(0.2)], replay=replay)
    assert (before.wrong, before.spare) == (0, 0), "it would have made another late"
    assert judged([ended(0, took_s=2.0)], replay=replay).error == 0.5


def test_a_window_says_what_was_answered_in_time() -> None:
    requests = [
        *(ended(n / 100, took_s=0.01 * n) for n in range(1, 101)),
        ended(1, how=REFUSED, took_s=0.002),
        ended(1, how=LATE),
        ended(1, took_s=3.0),
    ]
    window = Window(2.0, True, 10.0, tuple(requests), Counted(5, 4.0, 300, 100))
    found = figures(window, 20.0, 2.0)
    assert (found.offered, found.answered, found.refused, found.late) == (103, 100, 1, 2)
    assert (found.goodput, found.missed) == (0.5, pytest.approx(2 / 102))
    assert (found.p50_s, found.p99_s, found.refusal_p99_s) == pytest.approx((0.51, 1.0, 0.002))
    assert (found.tokens_per_s, found.busy) == (40, 0.4)
    assert "| 2x | yes | 0.50 |" in table([found])
    off = figures(replace(window, predicts=False, counted=Counted(5, 4.0, 400, 400)), 20.0, 2.0)
    low = [replace(each, load=0.5) for each in (found, off)]
    assert conserving([*low, found, off]) == {2.0: 0.5}


def test_what_refusals_cost_the_server_is_read_from_its_histogram() -> None:
    inf = float("inf")
    before = Counted(0, 0, 0, 0, {0.001: 5.0, 0.002: 5.0, inf: 5.0})
    counted = Counted(0, 0, 0, 0, {0.001: 55.0, 0.002: 105.0, inf: 105.0}).since(before)
    assert counted.refusal_s(0.25) == pytest.approx(0.0005)
    assert counted.refusal_s(0.75) == pytest.approx(0.0015)
    assert Counted(0, 0, 0, 0, {0.001: 1.0, inf: 4.0}).refusal_s(0.99) == inf, "more than the bounds tell"
    assert before.since(before).refusal_s(0.99) is None
    assert Counted(0, 0, 0, 0).refusal_s(0.99) is None


def test_the_oracles_clock_is_as_slow_as_the_server_was() -> None:
    calls = [ended(0.2 * number, took_s=1.5) for number in range(10)]

    def replay(pace: Pace, requests: Sequence[tuple[float, Ended]]) -> Replayed:
        return Replayed([at_s + pace.run for at_s, _ in requests], [])

    assert judge(calls, 2.0, Pace(1.0, 0.0, 0.0), replay, 9, 0).error < 0.01


def test_the_tool_measures_offers_and_draws(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, picture = tmp_path / "results" / "out.json", tmp_path / "overload.png"
    quick = ("--seconds", "0.5", "--capacity-seconds", "1", "--loads", "0.2,0.5", "--inputs", "5", "--oracle", "3")
    assert (
        main(["mixed", str(bundle), *quick, "--answers", "1-4", "--out", str(out), "--served", "--engine.threads", "1"])
        == 0
    )
    found = json.loads(out.read_text())["mixed"]
    assert [(each["load"], each["predicts"]) for each in found["windows"]] == [
        (0.2, True),
        (0.2, False),
        (0.5, True),
        (0.5, False),
    ]
    assert all(each["offered"] == each["answered"] + each["refused"] + each["late"] for each in found["windows"])
    assert "| 0.5x | no |" in capsys.readouterr().out
    assert draw([str(out), str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main(["mixed", str(tmp_path / "nothing")]) == 1
    assert "the server did not start" in capsys.readouterr().err
