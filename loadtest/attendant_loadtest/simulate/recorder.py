"""``python -m attendant_loadtest.simulate.recorder FILE [ARGUMENTS OF SERVE]``: a server like any other, which writes
down what each step of its engine computed and how long it took."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from attendant import cli
from attendant.core.pace import StepWork
from attendant.engine import scheduler
from attendant.engine.pace_learner import PaceLearner

from attendant_loadtest.simulate.recorded import COLUMNS


class Recorder(PaceLearner):
    """Learns as ever, and keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        EVERY.append(self)
        self.steps: list[tuple[float, ...]] = []

    def took(self, work: StepWork, seconds: float) -> None:
        """See PaceLearner."""
        self.steps.append((*work, seconds, time.monotonic()))
        super().took(work, seconds)


EVERY: list[Recorder] = []
"""Of the server's engines: one."""


def main(argv: list[str]) -> int:
    """Serve until told to stop; the file has an array of steps [num_steps, COLUMNS] float64, ``at_s`` monotonic."""
    setattr(scheduler, "PaceLearner", Recorder)  # noqa: B010 - this process is there for nothing else
    code = cli.main(["serve", *argv[1:]])
    steps = [step for recorder in EVERY for step in recorder.steps]
    np.save(Path(argv[0]), np.array(steps, np.float64).reshape(-1, len(COLUMNS)))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
