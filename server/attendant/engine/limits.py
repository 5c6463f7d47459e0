"""What a scheduler may put into a step."""

from __future__ import annotations

from dataclasses import dataclass

from attendant.core.frequencies import Frequencies
from attendant.engine.chunking import ANYWHERE, ChunkRule
from attendant.engine.memory import MemoriesOf
from attendant.engine.source_memory import memories_of


@dataclass(frozen=True, slots=True)
class SchedulerLimits:
    """What a scheduler may put into a step.

    Args:
        max_num_seqs: sequences that run together.
        spare_seqs: as many more, of light tenants alone; see :class:`~attendant.engine.shares.Shares`.
        max_num_batched_tokens: with room for a chunk of a prompt besides ``max_num_seqs`` decodes.
        context_length: tokens of prompt and answer together.
        eos: the model's end-of-sequence ids.
        rule: where prompts may be cut.
        prompts_apart: a step computes prompts or decodes, not both.
        frequencies: of a model whose rotary embeddings change with the length.
        run_cost: what a run costs besides the tokens that it computes, as so many of them. Prompts that wait together
            share a run as long as that lets their tokens leave sooner. 0: they never do. None: always.
        memories: makes what a request's sequence owns beside the KV cache.
    """

    max_num_seqs: int
    max_num_batched_tokens: int
    context_length: int
    eos: tuple[int, ...] = ()
    rule: ChunkRule = ANYWHERE
    prompts_apart: bool = False
    run_cost: int | None = None
    frequencies: Frequencies | None = None
    memories: MemoriesOf = memories_of
    spare_seqs: int = 0

    @property
    def short_prompts(self) -> int:
        """Tokens of prompts in a step that should be short, since light tenants may come: half of what prompts get
        besides a full batch of decodes. Less would leave places empty that others' prompts wait for."""
        return (self.max_num_batched_tokens - self.max_num_seqs) // 2
