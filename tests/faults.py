"""Makes every run of an engine that carries chosen requests raise, some after they have spoilt what they may write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from attendant.core.plan import Move, StepOutput, StepPlan
from attendant.engine.engine import Engine
from attendant.runtime.slot_runner import SlotRunner

STAGES = ("launch", "collect", "spoil")


class FaultyHands:
    """In place of an engine's hands. A run that carries a request of ``faults`` raises: when it is launched, when it is
    collected (it has been computed then), or also with not-a-numbers wherever its chunks and sources were written."""

    def __init__(self, engine: Engine) -> None:
        self._hands, self._runner = engine._hands, engine._runner
        self._plan = StepPlan()
        self.faults: dict[str, str] = {}  # request -> stage
        self.num_shared = 0  # runs of several requests that raised
        engine._hands = self

    def prepare(self) -> None:
        self._hands.prepare()

    def move(self, moves: Sequence[Move]) -> None:
        self._hands.move(moves)

    def launch(self, plan: StepPlan) -> None:
        self._plan = plan
        if self._stage() == "launch":
            self.num_shared += len(self._plan.requests) > 1
            raise RuntimeError("the device raised")
        self._hands.launch(plan)

    def collect(self) -> StepOutput:
        output = self._hands.collect()
        if stage := self._stage():
            if stage == "spoil":
                self._spoil()
            self.num_shared += len(self._plan.requests) > 1
            raise RuntimeError("the device raised")
        return output

    def _stage(self) -> str | None:
        orders: tuple[Any, ...] = (*self._plan.decodes, *self._plan.prefills, *self._plan.feeds)
        found = (self.faults.get(order.request_id.partition("/")[0]) for order in orders)
        return next((stage for stage in found if stage), None)

    def _spoil(self) -> None:
        """Slots only: where the run may have written before it raised."""
        if not isinstance(self._runner, SlotRunner):
            return
        memories: tuple[Any, ...] = self._runner._memories
        buffers, *beside = memories
        for tensor in (*buffers.keys, *buffers.values):
            for chunk in (*self._plan.decodes, *self._plan.prefills):
                _fill(tensor[chunk.slot, :, chunk.start : chunk.start + len(chunk.tokens)])
            for filler in self._plan.fillers:
                _fill(tensor[filler.slot, :, filler.position])
        for sources in beside:
            for tensor in (*sources.keys, *sources.values):
                for feed in self._plan.feeds:
                    _fill(tensor[feed.slot, :, : feed.size])


def _fill(part: Any) -> None:
    part[:] = np.nan
