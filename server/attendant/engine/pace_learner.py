"""Learns how long steps take from those that were run: least squares without negative costs, which forgets, and a level
that follows a machine which becomes slower or faster within a few steps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from attendant.core.pace import Pace, StepWork

MEMORY = 0.995
"""What an earlier step weighs when one more has come: some two hundred steps count."""

LEVEL_SHARE = 0.05
"""Share of the latest step in the level of today, once there have been as many as that share says."""

OUTLIER = 3.0
"""A step that took so many times what was expected, or so small a part of it, counts as one that took just that."""

SOLVE_EVERY = 8
"""Steps between two solutions of the equations; the level is looked after at every step."""

UNKNOWN = 1e-6
"""A step that was expected to take so small a part of what it took, or less, is one that nothing is known of."""

_SWEEPS = 12
_SCALES = np.array([1.0, 1.0, 64.0, 4096.0, 8.0, 1024.0, 512.0])
"""About how much of each part of the work a step has, so that all are alike in the equations."""

_RIDGE = 1e-4
"""What ties a cost to what it was: enough where the steps say nothing about it, next to nothing where they do."""

Vector = npt.NDArray[np.float64]


class PaceLearner:
    """What one engine knows of the duration of its steps.

    The errors that it makes small are relative: a short step counts as much as a long one. One that took far longer
    than expected (something else ran meanwhile, memory was taken for the first time) is cut to a few times of that.
    """

    def __init__(self) -> None:
        size = len(_SCALES)
        self._products: Vector = np.zeros((size, size))  # [costs, costs], of weighed steps
        self._targets: Vector = np.zeros(size)  # [costs]
        self._costs = [0.0] * size  # seconds, of scaled work
        self._level = 1.0
        self._num_steps = 0
        self._pace = Pace()

    @property
    def pace(self) -> Pace:
        """What is known now."""
        return self._pace

    def took(self, work: StepWork, seconds: float) -> None:
        """A step with this work took so long, including what came between it and the step before."""
        if seconds <= 0:
            return
        inputs = _inputs(work)
        expected = float(inputs @ self._costs)
        # or a cost that has faded to next to nothing would make its step's equation outweigh all others, up to infinity
        known = expected * self._level > UNKNOWN * seconds
        scale = expected if known else seconds
        if known and self._num_steps > SOLVE_EVERY:
            now = expected * self._level
            seconds = min(max(seconds, now / OUTLIER), now * OUTLIER)
            share = max(LEVEL_SHARE, 1 / self._num_steps)
            self._level += share * (seconds / expected - self._level)
        weighed = inputs / scale
        self._products *= MEMORY
        self._products += np.outer(weighed, weighed)
        self._targets *= MEMORY
        self._targets += weighed * (seconds / scale)
        self._num_steps += 1
        if self._num_steps <= SOLVE_EVERY or self._num_steps % SOLVE_EVERY == 0:
            self._solve(inputs, expected * self._level if known else seconds)
        self._pace = self._told()

    def _solve(self, inputs: Vector, expected: float) -> None:
        """Coordinate descent from where the costs are; none becomes negative. What the level was is in the costs
        then, as far as they follow: it starts from what they leave of what the latest step was expected to take."""
        products, targets, costs = self._products.tolist(), self._targets.tolist(), self._costs
        ridge = _RIDGE * max(1e-30, *[row[i] for i, row in enumerate(products)])
        tied = list(costs)
        for _ in range(_SWEEPS):
            for i, row in enumerate(products):
                if row[i] <= 0:
                    continue
                others = sum([a * b for a, b in zip(row, costs, strict=True)]) - row[i] * costs[i]
                costs[i] = max(0.0, (targets[i] - others + ridge * tied[i]) / (row[i] + ridge))
        after = float(inputs @ costs)
        if after > 0:
            self._level = expected / after

    def _told(self) -> Pace:
        return Pace.of((self._level * np.asarray(self._costs) / _SCALES).tolist(), self._num_steps)


def _inputs(work: StepWork) -> Vector:
    """The parts of the work [costs] float64, in the order of :class:`Pace`'s fields, scaled."""
    has_prompts = work.prompt_tokens > 0 or work.fed_tokens > 0
    raw = (1, has_prompts, work.prompt_tokens, work.attended, work.rows, work.context, work.fed_tokens)
    inputs: Vector = np.array(raw, np.float64) / _SCALES
    return inputs
