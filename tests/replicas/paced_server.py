"""``attendant serve`` whose steps take longer, by the seconds of the first argument: as on a slower device, while the
processor is free for others. For measurements of several servers on one machine."""

from __future__ import annotations

import sys
import time

from attendant.cli import main
from attendant.core.plan import StepOutput, StepPlan
from attendant.runtime.slot_runner import SlotRunner

PAUSE_S = float(sys.argv[1])
run = SlotRunner.run


def paced_run(self: SlotRunner, plan: StepPlan) -> StepOutput:
    time.sleep(PAUSE_S)
    return run(self, plan)


SlotRunner.run = paced_run  # type: ignore[method-assign]
sys.exit(main(["serve", *sys.argv[2:]]))
