"""Which chunks share a run, and its inputs: all tokens in one row, and where each stands in attention's padded view."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from attendant.bundle.graph_io import RaggedInputs, SlotInputs, by_name
from attendant.core.plan import Chunk

Array = npt.NDArray[np.generic]

_MOST_PADDING = 128
"""Empty places of the padded view for each of its rows. Twenty cost about as much as a token, and a row that has a run
to itself as much as some forty tokens."""

_MOST_SCORES = 2**21
"""Places times positions of a run of several chunks: attention keeps as many scores for each head."""


@dataclass(frozen=True, slots=True)
class SharedRun:
    """Chunks of different slots, in order of their slots. Slots in between are idle rows of the run."""

    chunks: tuple[Chunk, ...]

    @property
    def slots(self) -> slice:
        """The rows of the cache that are bound."""
        return slice(self.chunks[0].slot, self.chunks[-1].slot + 1)

    @property
    def longest(self) -> int:
        """Tokens of the longest chunk, the width of the padded view."""
        return max(len(chunk.tokens) for chunk in self.chunks)

    @property
    def total(self) -> int:
        """Positions of the longest sequence after the run."""
        return max(chunk.start + len(chunk.tokens) for chunk in self.chunks)

    def fits(self, max_length: int) -> bool:
        """Whether attention takes it, for slots of ``max_length`` positions, and without waste."""
        if len(self.chunks) == 1:
            return True
        longest, tokens = self.longest, sum(len(chunk.tokens) for chunk in self.chunks)
        num_rows = self.slots.stop - self.slots.start
        places = num_rows * longest
        # The kernel wants room in a slot for its whole row of the view, also for an idle one, which it takes for begun.
        return (
            max(1, *(chunk.start for chunk in self.chunks)) + longest <= max_length
            and places - tokens <= _MOST_PADDING * num_rows
            and places * self.total <= _MOST_SCORES
        )

    def inputs(self) -> dict[str, Array]:
        """All but the caches, by name; one row of logits for each chunk that wants a token, in order."""
        first, lengths = self.chunks[0].slot, [len(chunk.tokens) for chunk in self.chunks]
        rows = [chunk.slot - first for chunk in self.chunks]
        seqlens = np.zeros(rows[-1] + 1, np.int32)
        seqlens[rows] = [chunk.start + length - 1 for chunk, length in zip(self.chunks, lengths, strict=True)]
        ends = np.cumsum(lengths)
        wanted = [end - 1 for chunk, end in zip(self.chunks, ends, strict=True) if chunk.sample]
        positions = [np.arange(len(chunk.tokens)) + (chunk.start + chunk.shift) for chunk in self.chunks]
        inputs: SlotInputs[Array] = SlotInputs(
            input_ids=np.concatenate([chunk.tokens for chunk in self.chunks], dtype=np.int64)[None],
            position_ids=np.concatenate(positions, dtype=np.int64)[None],
            seqlens_k=seqlens,
            total_sequence_length=np.array([self.total], np.int32),
            logits_index=np.array(wanted, np.int64),
        )
        return by_name(inputs, ragged_inputs(rows, lengths))


def ragged_inputs(rows: Sequence[int], lengths: Sequence[int]) -> RaggedInputs[Array]:
    """The inputs for tokens in one row, ``lengths`` of them in these ``rows`` of the view; rows between are idle."""
    total, longest = sum(lengths), max(lengths)
    counts = np.zeros(rows[-1] + 1, np.int32)
    counts[list(rows)] = lengths
    pad = np.zeros((rows[-1] + 1, longest, 2), np.int64)  # what is not set shows the first token: nobody reads it
    unpad = np.empty((1, total, 2), np.int64)
    start = 0
    for row, length in zip(rows, lengths, strict=True):
        pad[row, :length, 1] = np.arange(start, start + length)
        unpad[0, start : start + length, 0] = row
        unpad[0, start : start + length, 1] = np.arange(length)
        start += length
    return RaggedInputs(query_seqlens=counts, pad_index=pad, unpad_index=unpad)


def row_inputs(num_rows: int) -> RaggedInputs[Array]:
    """The same for rows of one token each: the view is what they are in anyway."""
    places = np.zeros((num_rows, 1, 2), np.int64)
    places[:, 0, 0] = np.arange(num_rows)
    return RaggedInputs(query_seqlens=np.ones(num_rows, np.int32), pad_index=places, unpad_index=places)


def shared_runs(chunks: Sequence[Chunk], max_length: int, decodes: Sequence[Chunk] = ()) -> Iterator[SharedRun]:
    """The runs of ``chunks``, in order: each takes as many as it can, the first beside ``decodes``. Chunks of one slot
    are runs apart."""
    taken = list(decodes)
    for chunk in chunks:
        longer = _in_order((*taken, chunk))
        if any(chunk.slot == other.slot for other in taken) or not longer.fits(max_length):
            yield _in_order(taken)
            longer = SharedRun((chunk,))
        taken = list(longer.chunks)
    if taken:
        yield SharedRun(tuple(taken))


def can_ride(decodes: Sequence[Chunk], chunks: Sequence[Chunk], max_length: int) -> bool:
    """Whether the first run of ``chunks`` has room for ``decodes``, too."""
    return bool(decodes and chunks) and _in_order((*decodes, chunks[0])).fits(max_length)


def _in_order(chunks: Sequence[Chunk]) -> SharedRun:
    return SharedRun(tuple(sorted(chunks, key=lambda chunk: chunk.slot)))
