"""The inputs of a paged run, side by side in one buffer: filled on the host, copied to the device at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from attendant.core.plan import Chunk, StepPlan
from attendant.runtime.packed import Fields

Table = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class StepShape:
    """Sizes of a run: sequences, their tokens, logits rows, and columns of the block table."""

    num_sequences: int
    num_tokens: int
    num_logits: int
    num_columns: int


class Part(NamedTuple):
    """Chunks that run together."""

    chunks: tuple[Chunk, ...]
    decode_only: bool


def parts_of(plan: StepPlan, prompt_area: int | None) -> list[Part]:
    """The runs of a step: one, unless ``prompt_area`` limits positions, sequences times the longest, of a run with
    prompt tokens; a single chunk may have more."""
    if prompt_area is None or not plan.prefills:
        return [Part((*plan.decodes, *plan.prefills), decode_only=not plan.prefills)]
    parts = [Part(plan.decodes, decode_only=True)] if plan.decodes else []
    group: tuple[Chunk, ...] = ()
    for chunk in plan.prefills:
        larger = (*group, chunk)
        if group and len(larger) * max(c.start + len(c.tokens) for c in larger) > prompt_area:
            parts.append(Part(group, decode_only=False))
            larger = (chunk,)
        group = larger
    return [*parts, Part(group, decode_only=False)]


def input_fields(shape: StepShape) -> Fields:
    """The inputs of a run, as :class:`attendant.bundle.GeneratorManifest` describes them, but for the caches and
    attention_metadata, which stays on the host."""
    return {
        "input_ids": ((1, shape.num_tokens), np.int64),
        "position_ids": ((1, shape.num_tokens), np.int64),
        "logits_index": ((shape.num_logits,), np.int64),
        "cumulative_sequence_length": ((shape.num_sequences + 1,), np.int32),
        "past_seqlens": ((shape.num_sequences,), np.int32),
        "slot_mapping": ((shape.num_tokens,), np.int32),
        "block_table": ((shape.num_sequences, shape.num_columns), np.int32),
        "inverse_temperature": ((shape.num_logits,), np.float32),
        "uniform": ((shape.num_logits,), np.float32),
    }


@dataclass(frozen=True, slots=True)
class StepLengths:
    """Per chunk of a run: ``rows`` of the block table, ``starts`` and ``lengths`` of the chunks, all [n] int32."""

    rows: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int32]
    lengths: npt.NDArray[np.int32]

    @classmethod
    def of(cls, chunks: Sequence[Chunk], *, decode_only: bool) -> StepLengths:
        """Read a run's chunks; ``decode_only``: each has one token."""
        count = len(chunks)
        rows = np.fromiter([chunk.slot for chunk in chunks], np.int32, count)
        starts = np.fromiter([chunk.start for chunk in chunks], np.int32, count)
        if decode_only:
            return cls(rows, starts, np.ones(count, np.int32))
        return cls(rows, starts, np.fromiter([len(chunk.tokens) for chunk in chunks], np.int32, count))

    @property
    def longest(self) -> int:
        """Positions of the longest sequence after the run."""
        return int((self.starts + self.lengths).max())


def fill(
    arrays: dict[str, npt.NDArray[np.generic]], chunks: Sequence[Chunk], lengths: StepLengths, table: Table, size: int
) -> None:
    """Write a run over ``chunks`` into ``arrays``, which have its shape or, in sequences, a larger one.

    Sequences beyond the chunks are made of one token of block 0 that is written nowhere; logits beyond those to be
    sampled are the last token's.

    Args:
        table: [rows, max_blocks] int32, all block tables. size: positions of a block.
    """
    count, total = len(chunks), int(lengths.lengths.sum())
    ends = np.cumsum(lengths.lengths, dtype=np.int32)
    first = ends - lengths.lengths
    owner = np.repeat(np.arange(count), lengths.lengths)
    positions = np.arange(total, dtype=np.int32) - (first - lengths.starts)[owner]
    blocks = table[lengths.rows]
    arrays["input_ids"][0, :total] = np.concatenate([chunk.tokens for chunk in chunks])
    arrays["input_ids"][0, total:] = 0
    arrays["position_ids"][0, :total] = positions
    arrays["position_ids"][0, total:] = 0
    arrays["slot_mapping"][:total] = blocks[owner, positions // size] * size + positions % size
    arrays["slot_mapping"][total:] = -1
    bounds = arrays["cumulative_sequence_length"]
    bounds[0] = 0
    bounds[1 : count + 1] = ends
    bounds[count + 1 :] = np.arange(total + 1, total + len(bounds) - count)
    arrays["past_seqlens"][:count] = lengths.starts
    arrays["past_seqlens"][count:] = 0
    columns = arrays["block_table"].shape[1]
    arrays["block_table"][:count] = blocks[:, :columns]
    arrays["block_table"][count:] = 0
    index = arrays["logits_index"]
    sampled = [i for i, chunk in enumerate(chunks) if chunk.sample is not None]
    index[: len(sampled)] = ends[sampled] - 1
    index[len(sampled) :] = arrays["input_ids"].shape[1] - 1
