"""Figures over windows, from counters that only grow."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from attendant.core.errors import InvalidRequest, QueueFull
from attendant.core.events import FinishedEvent, StepStats
from attendant.core.objectives import ObjectivesByModel
from attendant.core.request import FinishReason, Timings, Usage
from attendant.http.page.history import BOARD_S, KEPT_S, POINT_S, History
from attendant.metrics import Metrics, ModelCounts, Times

BOUNDS = (1.0, 2.0, 4.0, float("inf"))


def times(*counts: float) -> Times:
    return Times(BOUNDS, np.array(counts, float))


@pytest.mark.parametrize(
    ("counts", "share", "seconds"),
    [
        ((4, 0, 0, 0), 0.5, 0.5),  # the middle of the first bucket
        ((1, 2, 1, 0), 0.5, 1.5),
        ((1, 2, 1, 0), 0.25, 1.0),
        ((0, 0, 10, 0), 0.9, 3.8),
        ((0, 0, 0, 5), 0.5, 4.0),  # beyond the last bound nothing is known
        ((0, 0, 0, 0), 0.5, None),
    ],
)
def test_quantiles_are_those_of_histogram_quantile(counts: tuple[int, ...], share: float, seconds: float) -> None:
    assert times(*counts).quantile(share) == pytest.approx(seconds)


def counts(**fields: object) -> ModelCounts:
    nothing = ModelCounts("generate", times(0, 0, 0, 0), times(0, 0, 0, 0), 0, 0, 0, 0, 0, 0, 0, 0, 0.0)
    return replace(nothing, **fields)  # type: ignore[arg-type]


class Fake:
    """A clock and counters that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.counts = {"m": counts()}
        self.history = History(lambda: self.counts, lambda: self.now)
        self.history.take()

    def later(self, seconds: float, **fields: object) -> None:
        self.now += seconds
        self.counts = {"m": replace(self.counts["m"], **fields)}  # type: ignore[arg-type]
        self.history.take()

    def points(self) -> list[dict[str, object]]:
        return asyncio.run(self.history.points())


def test_a_point_is_about_the_seconds_before_it() -> None:
    fake = Fake()
    fake.later(POINT_S, units=100.0, first=times(4, 0, 0, 0), batches=10.0, rows=25.0, waiting=3, kv_usage=0.25)
    fake.later(POINT_S, units=150.0, first=times(4, 8, 0, 0), batches=10.0, rows=25.0, waiting=0, kv_usage=0.0)
    older, last = fake.points()
    assert (older["age_s"], last["age_s"]) == (POINT_S, 0.0)
    first = older["models"]["m"]  # type: ignore[index]
    assert (first["rate"], first["batch"], first["waiting"], first["kv"]) == (20, 2.5, 3, 0.25)
    assert (first["first_s"], first["each_s"]) == (0.5, None)
    then = last["models"]["m"]  # type: ignore[index]
    assert (then["rate"], then["batch"], then["waiting"], then["kv"]) == (10, None, 0, 0.0)
    assert then["first_s"] == 1.5


def test_the_board_is_about_the_last_minutes() -> None:
    fake = Fake()
    fake.later(60.0, answered=60.0, failed=0.0)
    assert fake.history.board()["models"]["m"]["per_minute"] == 60
    fake.later(BOARD_S, answered=61.0, failed=4.0, refused=2.0, each=times(0, 0, 0, 0), units=80.0)
    board = fake.history.board()
    assert board["window_s"] == BOARD_S
    line = board["models"]["m"]
    assert (line["per_minute"], line["success"], line["refused"]) == (1, 0.2, 2)
    fake.later(BOARD_S)
    assert fake.history.board()["models"]["m"]["success"] is None


def test_what_is_promised_is_counted_of_both_kinds_of_tokens() -> None:
    fake = Fake()
    fake.later(1.0, first=times(2, 0, 0, 0), each=times(8, 0, 0, 0), first_kept=1.0, each_kept=8.0)
    assert fake.history.board()["models"]["m"]["kept"] == 0.9
    fake.later(1.0, each_kept=None, first_kept=None, answered=4.0, answered_kept=3.0)
    assert fake.history.board()["models"]["m"]["kept"] == 0.75
    fake.later(1.0, answered_kept=None)
    assert fake.history.board()["models"]["m"]["kept"] is None


def test_little_is_kept() -> None:
    fake = Fake()
    for _ in range(1000):
        fake.later(1.0)
    assert len(fake.points()) == pytest.approx(KEPT_S + POINT_S, abs=2)
    assert fake.points()[0]["age_s"] == pytest.approx(KEPT_S + POINT_S, abs=2)


def test_a_model_that_comes_begins_at_nothing() -> None:
    fake = Fake()
    fake.counts = {**fake.counts, "new": counts(units=7.0)}
    fake.later(1.0)
    assert set(fake.points()[-1]["models"]) == {"m"}  # type: ignore[call-overload]
    fake.counts = {"new": counts(units=7.0)}
    fake.now += 1.0
    fake.history.take()
    assert fake.history.point()["models"]["new"]["rate"] == 3.5


def test_what_is_counted_is_what_metrics_were_told() -> None:
    metrics = Metrics(objectives=ObjectivesByModel.parse("ttft 100ms p99"))
    metrics.add_model("m")
    metrics.models_ready({"m": True})
    metrics.first_token("m", 0.05)
    metrics.first_token("m", 0.2)
    metrics.next_token("m", 0.01)
    state: dict[str, Any] = {"num_running": 2, "num_waiting": 1, "kv_used_tokens": 10, "kv_capacity_tokens": 40}
    metrics.step("m", StepStats(num_decode_tokens=2, step_ns=10**6, run_ns=10**6, **state))
    metrics.refused("m", QueueFull("m", 1, 1.0))
    metrics.refused("m", InvalidRequest("text", "is bad"))
    for reason in (FinishReason.STOP, FinishReason.CANCELLED):
        metrics.finished("m", FinishedEvent("r", reason, Usage(3, 0, 2), Timings()))
    found = metrics.counts()["m"]
    assert (found.first.total, found.each.total, found.units) == (2, 1, 3)
    assert (found.first_kept, found.each_kept) == (1, None)
    assert (found.answered, found.failed, found.refused) == (1, 1, 1)
    assert (found.batches, found.rows, found.running, found.waiting, found.kv_usage) == (1, 2, 2, 1, 0.25)
    metrics.models_ready({})
    assert metrics.counts() == {}
