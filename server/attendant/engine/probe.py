"""Tells a request that fails from a device that does: one token that belongs to nobody."""

from __future__ import annotations

import time

from attendant.core.plan import StepPlan
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.engine.pool import KVPool
from attendant.engine.runner import Runner
from attendant.engine.sequence import Sequence

PROBE_TOKEN = 0
"""Every model has it."""


def probe(pool: KVPool, hands: Runner) -> None:
    """Run one token in a place of its own, which nothing is kept of. Without a free place nothing is run.

    Raises:
        Exception: whatever the run raises.
    """
    request = Request("probe", (PROBE_TOKEN,), SamplingParams(max_tokens=1, ignore_eos=True), time.monotonic_ns())
    sequence = Sequence(request, order=0, context_length=2, eos=())
    if not pool.acquire(sequence):
        return
    try:
        fillers = pool.arrange([sequence])
        hands.move(pool.take_moves())
        hands.launch(StepPlan(decodes=(sequence.decode_row(),), fillers=fillers))
        hands.collect()
    finally:
        pool.release(sequence)
