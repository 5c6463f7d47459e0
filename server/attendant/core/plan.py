"""The order slips of one step: what the scheduler asks the runner to do, and what the runner answers.

The scheduler decides; the runner obeys. Neither keeps the other's state. What is made for every sequence of every step
is a named tuple: that takes less than half the time of a frozen dataclass.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from attendant.core.errors import AttendantError
from attendant.core.events import TokenLogprob
from attendant.core.sampling import SamplingParams
from attendant.core.token_rules import LateMask, TokenMask

Tokens = npt.NDArray[np.int64]


class SampleOrder(NamedTuple):
    """How to choose the token that follows a chunk.

    ``tokens`` [num_tokens] int64 is the whole sequence so far (prompt, then output), of which ``num_prompt`` are the
    prompt's; ``mask`` says which tokens may be chosen now, None: all, unless ``late`` has it instead. With
    ``num_candidates``, no token is chosen: so many of the most probable ones are reported (beam search).
    """

    params: SamplingParams
    tokens: Tokens
    num_prompt: int
    mask: TokenMask | None = None
    num_candidates: int = 0
    late: LateMask | None = None

    def told(self) -> SampleOrder:
        """The order with its mask."""
        return self if self.late is None else self._replace(mask=self.late.now(), late=None)


class Continuations(NamedTuple):
    """The most probable tokens after a beam, most probable first: ids [k], and their natural log-probabilities after
    penalties and rules. ``asked``: as :class:`~attendant.core.events.TokenLogprob` has it."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    asked: tuple[float, ...] = ()


class Feed(NamedTuple):
    """Compute what memory ``memory`` has in the row of ``slot``, of ``content``, before a token of the sequence runs.

    What ``content`` is, the memory's own tensors know: of sources, a :class:`~attendant.core.source.Source`. ``size``
    is what it counts in a step's budget, in positions.
    """

    request_id: str
    slot: int
    memory: str
    content: object
    size: int


class Chunk(NamedTuple):
    """One sequence's share of a step: run ``tokens`` [n] int64 at positions start..start+n-1 of ``slot``.

    ``slot`` is the sequence's KV slot or, with pages, its row of the block table. ``sample`` is None when more of the
    sequence is still to be computed. position_ids are ``shift`` larger than the positions; see
    :class:`attendant.core.frequencies.Frequencies`.
    """

    request_id: str
    slot: int
    start: int
    tokens: Tokens
    sample: SampleOrder | None
    shift: int = 0


@dataclass(frozen=True, slots=True)
class Copy:
    """Slots: copy positions ``start`` to ``length`` of slot ``origin`` into slot ``target``."""

    origin: int
    target: int
    length: int
    start: int = 0


@dataclass(frozen=True, slots=True)
class CopyRow:
    """Copy all that memory ``memory`` has in the row of slot ``origin``, or row of the block table, to ``target``."""

    memory: str
    origin: int
    target: int


@dataclass(frozen=True, slots=True)
class Trim:
    """Slots: give the memory of slot ``slot`` from position ``start`` on back to the operating system."""

    slot: int
    start: int


@dataclass(frozen=True, slots=True)
class SetBlocks:
    """Pages: entries ``first``.. of row ``slot`` of the block table become ``blocks``; those behind them are unused.

    Changes the table alone, never the memory. Block 0 is never among them: unused entries may point there.
    """

    slot: int
    first: int
    blocks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CopyBlock:
    """Pages: copy block ``origin`` into block ``target``, of which the leading positions will be used."""

    origin: int
    target: int


Move = Copy | CopyRow | Trim | SetBlocks | CopyBlock
"""Moves are carried out in order, all of them before the run of their step."""


@dataclass(frozen=True, slots=True)
class Filler:
    """Slots: one inside the decode rows that has nothing to decode. Its row is run for nothing and writes to
    ``position``, which holds nothing of value."""

    slot: int
    position: int


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One step: moves first (in order), then feeds, then decode rows and prefill chunks, in one run or several.

    ``decodes`` have one token each. With slots, together with ``fillers`` their slots are exactly 0..num_rows-1; with
    pages there are no fillers, and rows may be any.
    """

    moves: tuple[Move, ...] = ()
    decodes: tuple[Chunk, ...] = ()
    fillers: tuple[Filler, ...] = ()
    prefills: tuple[Chunk, ...] = ()
    feeds: tuple[Feed, ...] = ()

    @property
    def num_rows(self) -> int:
        """Rows of the decode run."""
        return len(self.decodes) + len(self.fillers)

    @property
    def requests(self) -> tuple[str, ...]:
        """Ids of the requests that it runs something of, each once: those that decode first."""
        orders: tuple[Chunk | Feed, ...] = (*self.decodes, *self.prefills, *self.feeds)
        return tuple(dict.fromkeys(order.request_id for order in orders))

    def find_masks(self) -> None:
        """Find what may follow, for all whose next token the step chooses."""
        for chunk in (*self.decodes, *self.prefills):
            if chunk.sample is not None and chunk.sample.late is not None:
                chunk.sample.late.now()

    def __bool__(self) -> bool:
        return bool(self.decodes or self.prefills or self.feeds)


@dataclass(frozen=True, slots=True)
class StepOutput:
    """What a step produced.

    ``tokens`` maps the request id of every chunk that had a sample order to its token, ``continuations`` to those of
    a beam; ``logprobs`` holds those that asked; ``failures`` names requests that no token could be chosen for, and why,
    in words or as the error that they end with; ``run_ns`` is the time spent.
    """

    tokens: dict[str, int]
    logprobs: dict[str, TokenLogprob]
    failures: dict[str, str | AttendantError]
    run_ns: int
    continuations: dict[str, Continuations] = field(default_factory=dict)
