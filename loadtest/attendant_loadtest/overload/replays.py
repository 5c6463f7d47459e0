"""The server's own scheduler and batch policy, driven by a clock of their own over tokens that mean nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from attendant.batching.policy import BatchLimits, choose
from attendant.batching.queue import RowQueue
from attendant.core.encoding import Row
from attendant.core.events import TokenEvent
from attendant.core.plan import StepOutput
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.core.source import Source
from attendant.engine.limits import SchedulerLimits
from attendant.engine.scheduler import Scheduler
from attendant.engine.slot_pool import SlotPool

from attendant_loadtest.overload.calls import Ended
from attendant_loadtest.overload.oracle import Pace, Replayed


@dataclass(frozen=True, slots=True)
class EngineShape:
    """What a replay has to know of an engine on a processor: see :class:`attendant.engine.limits.SchedulerLimits`."""

    max_running: int
    context_length: int
    prompt_budget: int
    run_cost: int | None
    prompts_apart: bool
    has_source: bool = False


def replay_engine(
    shape: EngineShape, deadline_s: float, pace: Pace, requests: Sequence[tuple[float, Ended]]
) -> Replayed:
    """When each sequence would end, each with this deadline. A prompt's tokens are all its own, so that
    nothing of it is cached."""
    pool = SlotPool(shape.max_running, shape.context_length, shape.max_running * shape.context_length)
    scheduler = Scheduler(
        pool,
        SchedulerLimits(
            max_num_seqs=shape.max_running,
            max_num_batched_tokens=shape.max_running + shape.prompt_budget,
            context_length=shape.context_length,
            prompts_apart=shape.prompts_apart,
            run_cost=shape.run_cost,
        ),
    )
    ends = [float("inf")] * len(requests)
    idle: list[tuple[float, float]] = []
    now_s, coming = 0.0, 0
    while True:
        while coming < len(requests) and requests[coming][0] <= now_s:
            scheduler.submit(_request(str(coming), *requests[coming], shape, deadline_s))
            coming += 1
        if not scheduler.num_running and not scheduler.num_waiting:
            if coming == len(requests):
                return Replayed(ends, [*idle, (now_s, float("inf"))])
            idle.append((now_s, requests[coming][0]))
            now_s = requests[coming][0]
            continue
        plan = scheduler.schedule(round(now_s * 1e9))
        inputs = sum(len(chunk.tokens) for chunk in plan.prefills) + sum(feed.size for feed in plan.feeds)
        now_s += pace.seconds(1, inputs, len(plan.decodes))
        tokens = {chunk.request_id: 0 for chunk in (*plan.decodes, *plan.prefills) if chunk.sample is not None}
        scheduler.commit(plan, StepOutput(tokens, {}, {}, 0), round(now_s * 1e9))
        for event in scheduler.take_events():
            if not isinstance(event, TokenEvent):
                ends[int(event.request_id)] = now_s


def _request(id_: str, at_s: float, ended: Ended, shape: EngineShape, deadline_s: float) -> Request:
    (size,) = ended.work.inputs
    prompt = (1,) if shape.has_source else (int(id_) + 1, *range(1, size))
    source = Source({}, size) if shape.has_source else None
    params = SamplingParams(max_tokens=max(1, ended.answer))
    return Request(id_, prompt, params, round(at_s * 1e9), round((at_s + deadline_s) * 1e9), source)


def replay_batches(
    limits: BatchLimits, deadline_s: float, pace: Pace, requests: Sequence[tuple[float, Ended]]
) -> Replayed:
    """When the last row of each call would end; never, if its deadline comes while one waits."""
    queue = RowQueue()
    left = [len(ended.work.inputs) for _, ended in requests]
    ends = [float("inf")] * len(requests)
    idle: list[tuple[float, float]] = []
    now_s, coming = 0.0, 0
    nothing = {"input_ids": np.zeros(0)}
    while True:
        while coming < len(requests) and requests[coming][0] <= now_s:
            for index, size in enumerate(requests[coming][1].work.inputs):
                by_ns = round((requests[coming][0] + deadline_s) * 1e9)
                queue.add(Row(f"{coming}#{index}", nothing, size, 0, by_ns), round(now_s * 1e9))
            coming += 1
        if not len(queue):
            if coming == len(requests):
                return Replayed(ends, [*idle, (now_s, float("inf"))])
            idle.append((now_s, requests[coming][0]))
            now_s = requests[coming][0]
            continue
        batch = choose(queue, limits, round(now_s * 1e9))
        if late := [row for row in batch.rows if row.deadline_ns is not None and row.deadline_ns <= now_s * 1e9]:
            for row in late:
                queue.take(row.id)
            continue
        now_s += pace.seconds(1, batch.size, 0)
        for row in batch.rows:
            queue.take(row.id)
            call = int(row.id.partition("#")[0])
            left[call] -= 1
            if not left[call]:
                ends[call] = now_s
