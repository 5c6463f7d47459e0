"""Measures on this machine whether a model's results depend on how prompts are cut into chunks and share runs."""

from __future__ import annotations

import numpy as np

from attendant.core.plan import Chunk, SampleOrder, StepPlan
from attendant.core.sampling import SamplingParams
from attendant.runtime.kv import SlotBuffers
from attendant.runtime.run_error import RunError
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


def shared_runs_are_equal(runner: SlotRunner, buffers: SlotBuffers, vocab_size: int, lengths: tuple[int, int]) -> bool:
    """Run two prompts of these ``lengths`` in slots 0 and 1, each by itself and then both in one run.

    Returns:
        Whether keys, values and the next tokens' log-probabilities agree to the last bit. Overwrites both slots.
    """
    prompts = _prompts(vocab_size, lengths)
    alone = [_run(runner, prompt, [len(prompt)], slot) for slot, prompt in enumerate(prompts)]
    cache = _contents(buffers, lengths)
    chunks = [_chunks(prompt, [len(prompt)], slot)[0] for slot, prompt in enumerate(prompts)]
    together = runner.run(StepPlan(prefills=tuple(chunks))).logprobs
    return [together[_name(slot)] for slot in (0, 1)] == alone and _same(cache, _contents(buffers, lengths))


def riding_changes_nothing(runner: SlotRunner, buffers: SlotBuffers, vocab_size: int, lengths: tuple[int, int]) -> bool:
    """Run a prompt of the first of ``lengths`` in slot 0, and its next token in a decode row, by itself and then beside
    a prompt of the second length in slot 1.

    Returns:
        As :func:`shared_runs_are_equal`.
    """
    before, beside = _prompts(vocab_size, lengths)
    tokens = np.append(before, beside[0])
    _run(runner, before, [len(before)], slot=0)
    row = Chunk(_name(0), 0, len(before), tokens[-1:], _order(tokens))
    chunk = _chunks(beside, [len(beside)], slot=1)[0]
    now = (len(tokens), len(beside))
    alone = [runner.run(StepPlan(decodes=(row,))), runner.run(StepPlan(prefills=(chunk,)))]
    cache = _contents(buffers, now)
    together = runner.run(StepPlan(decodes=(row,), prefills=(chunk,))).logprobs
    equal = all(together[_name(slot)] == output.logprobs[_name(slot)] for slot, output in enumerate(alone))
    return equal and _same(cache, _contents(buffers, now))


def _prompts(vocab_size: int, lengths: tuple[int, int]) -> list[np.ndarray]:
    return np.split(np.random.default_rng(1).integers(0, vocab_size, sum(lengths)), [lengths[0]])


def _contents(buffers: SlotBuffers, lengths: tuple[int, int]) -> list[np.ndarray]:
    """Copies of the leading positions of slots 0 and 1, over all layers."""
    tensors = (*buffers.keys, *buffers.values)
    return [tensor[slot, :, :length].copy() for tensor in tensors for slot, length in enumerate(lengths)]


def _same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(map(np.array_equal, one, other))


def _run(runner: SlotRunner, tokens: np.ndarray, lengths: list[int], slot: int) -> object:
    output = runner.run(StepPlan(prefills=_chunks(tokens, lengths, slot)))
    for failure in output.failures.values():
        raise RunError(str(failure))
    return output.logprobs[_name(slot)]


def _chunks(tokens: np.ndarray, lengths: list[int], slot: int) -> tuple[Chunk, ...]:
    ends = np.cumsum(lengths).tolist()
    order = _order(tokens)
    return tuple(
        Chunk(_name(slot), slot, end - length, tokens[end - length : end], order if end == len(tokens) else None)
        for length, end in zip(lengths, ends, strict=True)
    )


def _order(tokens: np.ndarray) -> SampleOrder:
    return SampleOrder(SamplingParams(max_tokens=1, logprobs=1), tokens, len(tokens))


def _name(slot: int) -> str:
    return f"probe {slot}"
