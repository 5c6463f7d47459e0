"""What is measured: fitted, kept, drawn from again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from attendant.core.pace import Pace, StepWork
from attendant_loadtest.simulate.fitting import fit, spread_of, wires_of
from attendant_loadtest.simulate.subject import BadSubject, Draw, DrawWire, Subject
from attendant_loadtest.simulate.validating import slowness

from tests.loadtest.simulate.subjects import PAGES, SLOTS, subject

TRUE = Pace(step=2e-3, prompts=1e-3, prompt_token=1e-4, row=3e-4, context=2e-6)


def steps(number: int, noise: float) -> np.ndarray:
    rng = np.random.default_rng(2)
    found = []
    for _ in range(number):
        prompt = int(rng.integers(0, 3)) * int(rng.integers(1, 100))
        rows = int(rng.integers(0, 16)) if prompt else int(rng.integers(1, 16))
        work = StepWork(prompt, prompt * (prompt + 1) // 2, rows, rows * int(rng.integers(10, 500)))
        found.append((*work, TRUE.seconds(work) * float(rng.lognormal(0, noise))))
    return np.array(found)


def test_costs_come_out_as_they_were() -> None:
    pace, ratios = fit(steps(4000, 0.1))
    for work in (
        StepWork(rows=1, context=50),
        StepWork(rows=16, context=4000),
        StepWork(80, 3240),
        StepWork(20, 210, 8, 900),
    ):
        assert pace.seconds(work) == pytest.approx(TRUE.seconds(work), rel=0.05)
    assert np.mean(ratios) == pytest.approx(1, rel=0.02)


def test_steps_that_something_else_held_up_do_not_shape_the_costs_but_count() -> None:
    held = steps(4000, 0.1)
    held[::50, -1] *= 20
    pace, ratios = fit(held)
    work = StepWork(rows=8, context=900)
    assert pace.seconds(work) == pytest.approx(TRUE.seconds(work), rel=0.05)
    assert np.mean(ratios) == pytest.approx(0.98 + 0.02 * 20, rel=0.05)


def test_no_cost_is_negative() -> None:
    cheaper = steps(500, 0.0)
    cheaper[:, -1] -= 5e-7 * cheaper[:, 3]
    cheaper[:, -1] = np.maximum(cheaper[:, -1] - 5e-6 * cheaper[:, 3], 1e-4)
    pace, _ = fit(cheaper)
    assert min(pace.step, pace.prompts, pace.prompt_token, pace.attended, pace.row, pace.context) >= 0


def test_values_are_drawn_as_they_were() -> None:
    values = np.random.default_rng(1).exponential(1, 5000)
    spread = spread_of(values)
    assert np.mean(spread) == pytest.approx(np.mean(values)), "a long tail, too"
    draw = Draw(spread, np.random.default_rng(3))
    drawn = [draw.next() for _ in range(5000)]
    assert np.mean(drawn) == pytest.approx(np.mean(values), rel=0.06)
    assert np.median(drawn) == pytest.approx(np.median(values), rel=0.06)
    assert spread_of(np.array([2.0, 1.0])) == (1.0, 2.0)


def test_the_wire_is_as_slow_as_it_was_with_so_many_calls() -> None:
    """Calls one at a time, 1 ms late, and then eight at a time, 5 ms late."""
    due = np.concatenate([np.arange(100.0), 100 + np.arange(800) / 8])
    first, end = due + 0.1, np.concatenate([due[:100] + 0.5, due[100:] + 0.99])
    late = np.where(due < 100, 1e-3, 5e-3)
    wire = DrawWire(wires_of(due, first, end, late, 16), np.random.default_rng(1))
    assert [wire.next(number) for number in (1, 8, 16, 400)] == pytest.approx([1e-3, 5e-3, 5e-3, 5e-3], rel=0.02)
    few = wires_of(due[:3], first[:3], end[:3], late[:3], 16)
    assert DrawWire(few, np.random.default_rng(1)).next(5) == 1e-3


@pytest.mark.parametrize("shape", [SLOTS, PAGES])
def test_what_was_saved_is_read(shape: object, tmp_path: Path) -> None:
    one = subject(shape)  # type: ignore[arg-type]
    one.save(tmp_path / "a" / "one.json")
    assert Subject.load(tmp_path / "a" / "one.json") == one


def test_a_slower_machine_takes_longer_for_everything() -> None:
    one, work = subject(), StepWork(30, 500, 4, 90)
    twice = one.slower(2.0)
    assert twice.costs.pace.seconds(work) == pytest.approx(2 * one.costs.pace.seconds(work))
    assert twice.costs.wires[0].seconds[0] == 2 * one.costs.wires[0].seconds[0]
    assert twice.costs.spread == one.costs.spread
    steps = np.array([(*work, twice.costs.pace.seconds(work))] * 3)
    assert slowness(one, steps) == pytest.approx(2.0)


@pytest.mark.parametrize("text", ["{}", "[]", "nonsense", '{"format": 1}', '{"format": 1, "model": "m", "costs": {}}'])
def test_what_is_no_calibration_says_so(text: str, tmp_path: Path) -> None:
    file = tmp_path / "one.json"
    file.write_text(text)
    with pytest.raises(BadSubject, match=r"one\.json"):
        Subject.load(file)
    with pytest.raises(BadSubject, match="No such file"):
        Subject.load(tmp_path / "none.json")
