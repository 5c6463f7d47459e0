"""The inputs of a paged run, side by side in one buffer: filled on the host, copied to the device at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from attendant.bundle.graph_io import PAGES, SAMPLING, PageInputs, grouped, ports_of
from attendant.core.plan import Chunk, StepPlan
from attendant.runtime.packed import Fields, fields_of

Array = npt.NDArray[Any]
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
    """The inputs of a run, but for the caches and attention_metadata, which stays on the host."""
    sizes = {
        "num_sequences": shape.num_sequences,
        "num_tokens": shape.num_tokens,
        "num_logits": shape.num_logits,
        "max_blocks": shape.num_columns,
    }
    return fields_of(ports_of(PAGES, SAMPLING), sizes)


@dataclass(frozen=True, slots=True)
class StepLengths:
    """The chunks of a run: ``rows`` of the block table, ``starts`` and ``lengths`` of the chunks, all [n] int32."""

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


def fill(arrays: dict[str, Array], chunks: Sequence[Chunk], lengths: StepLengths, table: Table, size: int) -> None:
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
    inputs: PageInputs[Array] = grouped(PageInputs, arrays)
    inputs.input_ids[0, :total] = np.concatenate([chunk.tokens for chunk in chunks])
    inputs.input_ids[0, total:] = 0
    inputs.position_ids[0, :total] = positions
    inputs.position_ids[0, total:] = 0
    inputs.slot_mapping[:total] = blocks[owner, positions // size] * size + positions % size
    inputs.slot_mapping[total:] = -1
    bounds = inputs.cumulative_sequence_length
    bounds[0] = 0
    bounds[1 : count + 1] = ends
    bounds[count + 1 :] = np.arange(total + 1, total + len(bounds) - count)
    inputs.past_seqlens[:count] = lengths.starts
    inputs.past_seqlens[count:] = 0
    columns = inputs.block_table.shape[1]
    inputs.block_table[:count] = blocks[:, :columns]
    inputs.block_table[count:] = 0
    index = inputs.logits_index
    sampled = [i for i, chunk in enumerate(chunks) if chunk.sample is not None]
    index[: len(sampled)] = ends[sampled] - 1
    index[len(sampled) :] = inputs.input_ids.shape[1] - 1
