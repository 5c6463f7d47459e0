"""Parts of the GPU kit that need no model: comparisons, results and workers."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from attendant.core.events import TokenLogprob
from attendant_loadtest.gpu.aims import aims
from attendant_loadtest.gpu.driver import Answer
from attendant_loadtest.gpu.errors import Errors, log_probabilities
from attendant_loadtest.gpu.isolation import difference, make_requests
from attendant_loadtest.gpu.report import merge
from attendant_loadtest.gpu.shapes import FULL
from attendant_loadtest.gpu.worker import Worker, WorkFailed


def test_where_two_answers_part() -> None:
    def answer(*tokens: int) -> Answer:
        reports = [TokenLogprob(t, -0.5, ((t, -0.5), (t + 1, -0.75))) for t in tokens]
        return Answer(1, list(tokens), reports, done=True)

    assert difference(answer(4, 5, 6), answer(4, 5, 6)) is None
    assert difference(answer(4, 5, 6, 7), answer(4, 9, 1, 2)) == {"place": 1, "margin": 0.25, "not_compared": 2}


def test_requests_are_random_and_share_beginnings() -> None:
    requests = make_requests(FULL, 272)
    assert len(requests) == 500
    longest = max(len(prompt) + length for prompt, length in requests)
    assert 300 < longest <= FULL.shared + FULL.own + FULL.answer <= FULL.context
    assert len({len(prompt) for prompt, _ in requests}) > 200
    beginnings = {tuple(prompt[:20]) for prompt, _ in requests if len(prompt) > 250}
    assert len(beginnings) < 80


def test_errors_are_of_log_probabilities() -> None:
    logits = np.array([1.0, 2.0, 4.0, -1.0], np.float32)
    exact = log_probabilities(logits)
    assert np.exp(exact).sum() == pytest.approx(1)
    assert log_probabilities(logits + 100) == pytest.approx(exact)
    errors = Errors()
    errors.add({2: exact[2] + 0.25, 1: exact[1]}, logits)
    errors.add({2: exact[2]}, logits)
    assert (errors.positions, errors.largest) == (2, pytest.approx(0.25))
    assert errors.p90 == pytest.approx(0.225)
    assert errors.spread == pytest.approx(logits.std())


def test_results_of_several_runs_are_read_as_of_one() -> None:
    one = {"date": "a", "checks": {"speed": {"ok": True, "models": {"1b": {"x": 1}}}}}
    other = {"date": "b", "checks": {"speed": {"ok": False, "models": {"8b": {"x": 2}}}, "serving": {"ok": True}}}
    assert merge([one, other]) == {
        "date": "b",
        "checks": {"speed": {"ok": False, "models": {"1b": {"x": 1}, "8b": {"x": 2}}}, "serving": {"ok": True}},
    }


def test_aims_are_of_the_8b_at_batch_64() -> None:
    ours = [{"batch": b, "roofline_share": b / 100, "tokens_per_s": 10.0 * b} for b in (1, 64, 128)]
    theirs = [{"batch": 1, "tokens_per_s": 1.0}, {"batch": 64, "tokens_per_s": 160.0}, {"batch": 128, "error": "no"}]
    model = {"graphs": {"decode": ours, "streams": {"tokens_per_s": 50.0}}, "transformers": {"decode": theirs}}
    serving = {"model": "8b", "streams": 64, "tokens_per_s": 46.0}
    found = aims({"checks": {"speed": {"models": {"8b": model}}, "serving": serving}})
    assert [aim.value for aim in found] == [pytest.approx(0.64), pytest.approx(4.0), pytest.approx(0.92)]
    assert [aim.met for aim in found] == [False, True, True]
    assert aims({"checks": {"speed": {"ok": False, "error": "x"}}}) == []


def test_work_that_fails_is_told_and_the_next_goes_on() -> None:
    with Worker() as worker:
        first = worker.call(os.getpid, timeout_s=60)
        assert worker.call(os.getpid, timeout_s=60) == first != os.getpid()
        with pytest.raises(WorkFailed, match=r"ZeroDivisionError"):
            worker.call(divmod, 1, 0, timeout_s=60)
        second = worker.call(os.getpid, timeout_s=60)
        assert second != first, "a process that failed is not used again"
        with pytest.raises(WorkFailed, match=r"_exit ended with code 3"):
            worker.call(os._exit, 3, timeout_s=60)
        with pytest.raises(WorkFailed, match=r"sleep took longer than 1 s"):
            worker.call(time.sleep, 600, timeout_s=1)
        third = worker.call(os.getpid, timeout_s=60)
        assert worker.fresh(os.getpid, timeout_s=60) != third
    assert not Path(f"/proc/{third}").exists()
