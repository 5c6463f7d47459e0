"""What can be saved of a run that failed: its requests run again apart, and only those that fail alone have failed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from attendant.core.errors import StepFailed
from attendant.core.plan import Chunk, Filler, StepOutput, StepPlan

logger = logging.getLogger(__name__)

T = TypeVar("T")
Run = Callable[[StepPlan], StepOutput]


@dataclass(frozen=True, slots=True)
class Salvage:
    """What came of the parts of a plan. ``blamed``: the requests that failed alone, and what each raised."""

    output: StepOutput
    blamed: Mapping[str, Exception]


def attempt(call: Callable[[], T]) -> T | Exception:
    """What a call returns, or what it raised: the supervision point of the engine's loop.

    A run may fail in any way, be it ONNX Runtime, a device or an error of ours: it costs the requests that it carried.
    """
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - supervision point: whatever a run raises costs only who fails alone
        return error


def salvage(run: Run, plan: StepPlan, error: Exception, *, contiguous: bool) -> Salvage:
    """Run the requests of a plan that raised ``error`` again, in halves of halves of them.

    The moves of the plan have been carried out and are not repeated. Whatever the failed run wrote lies where its
    requests write again, or where nothing is kept.

    Args:
        contiguous: decode rows are the slots from 0 on, as :class:`~attendant.core.plan.StepPlan` has them for slots.
    """
    # A run does decodes first. So no row that is filled up beside a decode is one whose prompt has just been computed.
    parts = _Parts(run, plan, contiguous)
    parts.divide(plan.requests, error)
    return Salvage(parts.output, parts.blamed)


@dataclass(slots=True)
class _Parts:
    run: Run
    plan: StepPlan
    contiguous: bool
    done: set[str] = field(default_factory=set)
    blamed: dict[str, Exception] = field(default_factory=dict)
    output: StepOutput = field(default_factory=lambda: StepOutput({}, {}, {}, 0))

    def divide(self, ids: tuple[str, ...], error: Exception) -> None:
        """Find out which of the requests, whose run raised ``error``, are at fault."""
        if len(ids) == 1:
            logger.error("the model run of request %s failed", ids[0], exc_info=error)
            self.blamed[ids[0]] = error
            return
        logger.warning("a run of the requests %s failed; they run again apart: %s", ", ".join(ids), error)
        middle = len(ids) // 2
        for half in (ids[:middle], ids[middle:]):
            if (cause := self._try(half)) is not None:
                self.divide(half, cause)

    def _try(self, ids: tuple[str, ...]) -> Exception | None:
        output = attempt(lambda: self.run(self._of(frozenset(ids))))
        if isinstance(output, Exception):
            return output
        self.done.update(ids)
        self.output = _joined(self.output, output)
        return None

    def _of(self, ids: frozenset[str]) -> StepPlan:
        plan = self.plan
        decodes = tuple(chunk for chunk in plan.decodes if chunk.request_id in ids)
        fillers: tuple[Filler, ...] = ()
        if decodes and self.contiguous:
            fillers = self._fillers(decodes)
        return StepPlan(
            decodes=decodes,
            fillers=fillers,
            prefills=tuple(chunk for chunk in plan.prefills if chunk.request_id in ids),
            feeds=tuple(feed for feed in plan.feeds if feed.request_id in ids),
        )

    def _fillers(self, decodes: tuple[Chunk, ...]) -> tuple[Filler, ...]:
        """What a run has in the slots between these decodes. In place of others of the plan a row runs for nothing
        where that one will write, or if that one has been computed, behind it: no sequence that runs ends there."""
        top = max(chunk.slot for chunk in decodes)
        wanted = {chunk.request_id for chunk in decodes}
        others = [chunk for chunk in self.plan.decodes if chunk.slot < top and chunk.request_id not in wanted]
        instead = tuple(Filler(chunk.slot, chunk.start + (chunk.request_id in self.done)) for chunk in others)
        return (*(filler for filler in self.plan.fillers if filler.slot < top), *instead)


def _joined(one: StepOutput, other: StepOutput) -> StepOutput:
    return replace(
        one,
        tokens=one.tokens | other.tokens,
        logprobs=one.logprobs | other.logprobs,
        failures=one.failures | other.failures,
        continuations=one.continuations | other.continuations,
        run_ns=one.run_ns + other.run_ns,
    )


def failed_run(request_id: str, cause: Exception) -> StepFailed:
    """What a request ends with whose run raised ``cause``, also alone."""
    error = StepFailed(f"the model run of this request failed; the server's log has the cause, of request {request_id}")
    error.__cause__ = cause
    return error
