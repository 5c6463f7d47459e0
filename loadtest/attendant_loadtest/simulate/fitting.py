"""What steps cost, of many that were run: the least squares, none below 0, and how far single steps are from that."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from attendant.core.pace import ENOUGH_STEPS, Pace

from attendant_loadtest.simulate.subject import Wire

Vector = npt.NDArray[np.float64]

OUTLIER = 3.0
"""A step that took so many times what is expected, or so small a part of it, does not shape the costs."""

PASSES = 4
POSITIONS = (3, 5)
"""Columns of positions that are attended to. They grow with tokens and rows, so that noise alone moves costs from those
to these, and a long prompt would be far too dear."""

CLEARLY = 0.05
"""They count if errors become so much smaller, as a share."""

PARTS = 100
SHARES_OPEN = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 1)
"""Of the sequences that run together: for so many open calls, at most, the wire has values of its own."""

ENOUGH = 30
"""Calls that say something of the wire."""


def fit(steps: Vector) -> tuple[Pace, Vector]:
    """Costs that make the relative errors small, as an engine's learner does it, but of all steps alike.

    Args:
        steps: [num_steps, 6] float64: what each computed, by the fields of StepWork, and the seconds that it took.

    Returns:
        The costs; and of each step [num_steps] float64, how many times as long as expected it took.
    """
    work, seconds = steps[:, :-1], steps[:, -1]
    has_prompts = (work[:, 0] > 0) | (work[:, 4] > 0)
    inputs = np.column_stack([np.ones(len(steps)), has_prompts, work])  # in the order of Pace's fields
    costs, scale = _trimmed(inputs * ~np.isin(np.arange(inputs.shape[1]), POSITIONS), seconds)
    with_positions, scale_with = _trimmed(inputs, seconds)
    if _error(seconds / scale_with) < (1 - CLEARLY) * _error(seconds / scale):
        costs, scale = with_positions, scale_with
    return Pace.of(costs.tolist(), ENOUGH_STEPS), seconds / scale


def _trimmed(inputs: Vector, seconds: Vector) -> tuple[Vector, Vector]:
    """Costs, without what is far off; and what each step takes by them."""
    kept = np.ones(len(seconds), bool)
    costs, scale = np.zeros(inputs.shape[1]), seconds
    for _ in range(PASSES):
        costs = _least_squares(inputs[kept] / scale[kept, None], seconds[kept] / scale[kept])
        scale = np.maximum(inputs @ costs, 1e-9)
        ratio = seconds / scale
        kept = (ratio < OUTLIER) & (ratio > 1 / OUTLIER)
    return costs, scale


def _error(ratios: Vector) -> float:
    """How far steps are from what is expected, in the middle."""
    return float(np.median(np.abs(np.log(ratios))))


def spread_of(values: Vector) -> tuple[float, ...]:
    """A hundred values that stand for as many as there are: the mean of each hundredth, from the smallest on."""
    parts = np.array_split(np.sort(values), min(PARTS, len(values)))
    return tuple(float(part.mean()) for part in parts)


def wires_of(due: Vector, first: Vector, end: Vector, late: Vector, max_num_seqs: int) -> tuple[Wire, ...]:
    """How late callers had their first tokens, by how many calls were open then.

    Args:
        due, first, end: when each call was due, had its first token and ended [num_calls] float64, seconds.
        late: how much later its first token was for its caller than for the server.
        max_num_seqs: that run together.
    """
    num_open = np.searchsorted(np.sort(due), first, "right") - np.searchsorted(np.sort(end), first, "right")
    found, least = [], -1
    for most in sorted({max(1, round(max_num_seqs * share)) for share in SHARES_OPEN}):
        here = (num_open > least) & (num_open <= most)
        if here.sum() >= ENOUGH:
            found.append(Wire(most, spread_of(late[here])))
            least = most
    if (beyond := num_open > least).sum() >= ENOUGH or not found:
        found.append(Wire(2**31, spread_of(late[beyond])))
    return tuple(found)


def _least_squares(inputs: Vector, targets: Vector) -> Vector:
    """Without negative costs: whatever would be so most is left out."""
    used = [column for column in range(inputs.shape[1]) if inputs[:, column].any()]
    solution = np.zeros(len(used))
    while used:
        size = np.abs(inputs[:, used]).max(0)  # so that no column is lost beside others
        solution = np.linalg.lstsq(inputs[:, used] / size, targets, rcond=None)[0] / size
        if (solution >= 0).all():
            break
        used.pop(int((solution * size).argmin()))
    costs = np.zeros(inputs.shape[1])
    costs[used] = solution
    return costs
