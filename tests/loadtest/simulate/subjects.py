"""Engines to simulate, with costs that nobody measured."""

from __future__ import annotations

from dataclasses import replace

from attendant.core.pace import ENOUGH_STEPS, Pace
from attendant_loadtest.simulate.subject import Costs, Shape, Subject, Wire

SLOTS = Shape(
    max_num_seqs=4,
    max_num_batched_tokens=4 + 64,
    context_length=256,
    kv_tokens=4 * 256,
    page_tokens=16,
    pages=False,
    prompts_apart=True,
    run_cost=0,
    cut_every=0,
    spare_seqs=1,
    max_queue=10_000,
)
PAGES = replace(SLOTS, pages=True, prompts_apart=False, run_cost=None)
SCARCE = replace(PAGES, kv_tokens=256)
"""Where sequences lose their memory to others."""

PACE = Pace(4e-3, 1e-3, 2e-4, 0.0, 5e-4, 1e-6, 0.0, ENOUGH_STEPS)


def subject(shape: Shape = SLOTS, costs: Costs | None = None) -> Subject:
    """One of them."""
    return Subject("thought", shape, costs or Costs(PACE, (0.7, 1.0, 1.3), (Wire(2, (1e-3,)), Wire(9, (2e-3, 3e-3)))))
