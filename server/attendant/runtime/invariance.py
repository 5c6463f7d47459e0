"""Measures on this machine whether a model's results depend on how a prompt is cut into chunks."""

from __future__ import annotations

import numpy as np

from attendant.core.plan import Chunk, SampleOrder, StepPlan
from attendant.core.sampling import SamplingParams
from attendant.runtime.kv import SlotBuffers
from attendant.runtime.slot_runner import SlotRunner


def prompt_runs_are_equal(
    runner: SlotRunner, buffers: SlotBuffers, vocab_size: int, one: list[int], other: list[int]
) -> bool:
    """Run one prompt twice, in chunks of the lengths ``one`` and ``other`` (equal sums), in slots 0 and 1.

    Returns:
        Whether keys, values and the next token's log-probabilities agree to the last bit. Overwrites both slots.
    """
    assert sum(one) == sum(other)
    tokens = np.random.default_rng(0).integers(0, vocab_size, sum(one))
    first = _run(runner, tokens, one, slot=0)
    second = _run(runner, tokens, other, slot=1)
    length = len(tokens)
    return first == second and all(
        np.array_equal(tensor[0, :, :length], tensor[1, :, :length]) for tensor in (*buffers.keys, *buffers.values)
    )


def _run(runner: SlotRunner, tokens: np.ndarray, lengths: list[int], slot: int) -> object:
    ends = np.cumsum(lengths).tolist()
    order = SampleOrder(SamplingParams(max_tokens=1, logprobs=1), tokens, len(tokens))
    chunks = tuple(
        Chunk("probe", slot, end - length, tokens[end - length : end], order if end == len(tokens) else None)
        for length, end in zip(lengths, ends, strict=True)
    )
    return runner.run(StepPlan(prefills=chunks)).logprobs["probe"]
