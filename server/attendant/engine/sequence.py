"""One sequence while the engine works on it."""

from __future__ import annotations

import itertools

import numpy as np

from attendant.core.fair_order import Ticket
from attendant.core.frequencies import Frequencies
from attendant.core.plan import Chunk, Feed, Move, SampleOrder, Tokens
from attendant.core.request import FinishReason, Request, Usage
from attendant.core.token_rules import LateMask
from attendant.engine.clock import Clock
from attendant.engine.memory import Memories, SequenceMemory
from attendant.engine.token_rules import rules_of

CacheIdentity = tuple[bytes, int]
"""The salt of a request, and with which frequencies its keys are rotated."""


class Sequence:
    """Mutable state of a request. ``num_computed`` chases ``num_tokens``: there is no other phase.

    Tokens of the prompt are computed in chunks, generated ones in decode rows. Where ``recomputes_in_rows`` holds, also
    when they are computed again: ONNX Runtime's attention on a CPU rounds differently for one token than for several,
    and the answer must not depend on history. Elsewhere all that is missing is computed in chunks, and a single missing
    token in a decode row.

    Attributes:
        id: of the sequence: the request's, but for the beams of a search after the first.
        order: position in order of arrival; smaller is older.
        ticket: what decides about its turn.
        level: its priority, and what its waiting added to that until it got its place.
        tokens: [capacity] int64, of which the first ``num_tokens`` are known and the first ``num_prompt`` the prompt's.
        memories: what it owns beside the KV cache.
        num_computed: positions whose keys and values are in the KV cache. Written here only, as is slot.
        num_cached: prompt positions found in the cache when the sequence was first placed.
        slot: its place, a KV slot or row of the block table, or None while it waits.
        max_tokens: most tokens the sequence may reach, prompt included.
        stop_ids: token ids that end it.
        recomputes_in_rows: see :class:`~attendant.engine.chunking.FreeCuts`.
        prompt_in_rows: its tokens are computed in decode rows from the first on: a memory takes no run of so many.
        parked: a beam that has nothing to compute for now, though it keeps its place.
        rules: what may follow its tokens.
        frequencies: of a model whose rotary embeddings change with the length.
        num_candidates: tokens that each run reports in place of choosing one: the sequence is a beam.
    """

    __slots__ = (
        "clock",
        "frequencies",
        "id",
        "level",
        "max_tokens",
        "memories",
        "num_cached",
        "num_candidates",
        "num_computed",
        "num_prompt",
        "num_tokens",
        "order",
        "parked",
        "prompt_in_rows",
        "recomputes_in_rows",
        "request",
        "rules",
        "slot",
        "stop_ids",
        "ticket",
        "tokens",
    )

    def __init__(  # noqa: PLR0913 - the parts it is made of, each by name
        self,
        request: Request,
        order: int,
        context_length: int,
        eos: tuple[int, ...],
        *,
        recomputes_in_rows: bool = True,
        name: str | None = None,
        num_candidates: int = 0,
        frequencies: Frequencies | None = None,
        memories: tuple[SequenceMemory, ...] = (),
    ) -> None:
        params = request.params
        self.request = request
        self.id = request.id if name is None else name
        self.num_candidates, self.frequencies = num_candidates, frequencies
        self.memories = Memories(memories)
        self.clock = Clock(request.arrival_ns)
        self.order, self.num_prompt, self.num_tokens = order, len(request.prompt), len(request.prompt)
        self.ticket = Ticket(order, request.tenant, request.priority, request.arrival_ns)
        self.level = request.priority
        self.prompt_in_rows = self.num_prompt == 1 or self.num_prompt > self.memories.longest_chunk
        self.max_tokens = min(self.num_prompt + params.max_tokens, context_length)
        assert self.num_prompt < self.max_tokens, "admission lets no prompt in that leaves no room for a token"
        self.tokens: Tokens = np.empty(self.max_tokens, np.int64)
        self.tokens[: self.num_prompt] = request.prompt
        self.num_computed = 0
        self.num_cached: int | None = None
        self.slot: int | None = None
        self.stop_ids = frozenset(params.stop_token_ids if params.ignore_eos else (*eos, *params.stop_token_ids))
        asked = rules_of(params, self.num_prompt, self.max_tokens, self.stop_ids)
        self.rules = (*asked, *[rule.fork() for rule in request.rules])
        self.recomputes_in_rows, self.parked = recomputes_in_rows, False
        for token in request.received:
            self._take(token)

    @property
    def cache_identity(self) -> CacheIdentity:
        """What the keys and values of its prompt depend on besides tokens."""
        return self.request.cache_salt, self.shift()

    def shift(self, start: int = 0) -> int:
        """See :attr:`~attendant.core.plan.Chunk.shift`."""
        changing = self.frequencies
        return 0 if changing is None else changing.shift(self.num_prompt, self.num_tokens, start)

    @property
    def begins_anew(self) -> bool:
        """Whether the latest token changed the keys of all before it."""
        return self.frequencies is not None and self.frequencies.begins_anew(self.num_tokens)

    @property
    def num_prefill_missing(self) -> int:
        """Tokens that are not computed and belong in chunks."""
        if not self.recomputes_in_rows:
            return max(self.num_tokens - self.num_computed, 0)
        return 0 if self.prompt_in_rows else max(self.num_prompt - self.num_computed, 0)

    @property
    def decodes(self) -> bool:
        """Whether the next token to compute belongs in a decode row. A prompt of one token is a decode row, too."""
        if self.recomputes_in_rows:
            return self.num_computed >= self.num_prompt or self.prompt_in_rows
        return self.num_tokens - self.num_computed == 1

    @property
    def rests(self) -> bool:
        """Whether there is nothing to compute: a parked beam, or one that waits for the others."""
        return self.parked or self.num_computed >= self.num_tokens

    @property
    def num_prefilled(self) -> int:
        """Leading positions in the KV cache that were computed in chunks, not in decode rows."""
        return 0 if self.prompt_in_rows else min(self.num_computed, self.num_prompt)

    def chunks(self, lengths: list[int]) -> list[Chunk]:
        """The orders to run the next missing tokens in chunks of these lengths."""
        starts = itertools.accumulate(lengths, initial=self.num_computed)
        return [self._chunk(start, length) for start, length in zip(starts, lengths, strict=False)]

    def decode_row(self) -> Chunk:
        """The order to run the next missing token alone."""
        return self._chunk(self.num_computed, 1)

    def append(self, token: int, now_ns: int) -> None:
        """Add a generated token."""
        self._take(token)
        self.clock.token(now_ns)

    def _take(self, token: int) -> None:
        self.tokens[self.num_tokens] = token
        self.num_tokens += 1
        if self.rules:
            for rule in self.rules:
                rule.accept(token)

    @property
    def is_complete(self) -> bool:
        """Whether a rule says that nothing may follow."""
        return bool(self.rules) and any(rule.is_complete() for rule in self.rules)

    @property
    def end(self) -> FinishReason | None:
        """Why nothing may follow: a rule says so, or it is as long as it may be. None: something may."""
        if self.is_complete:
            return FinishReason.STOP
        return FinishReason.LENGTH if self.num_tokens >= self.max_tokens else None

    def feeds(self) -> list[Feed]:
        """The orders to feed what is missing, which is not from here on."""
        assert self.slot is not None
        return self.memories.feeds(self.id, self.slot)

    # -- its place, and what is computed there

    def place(self, slot: int, num_computed: int) -> bool:
        """Get a place, which has keys and values of ``num_computed`` leading tokens. False: a memory has no row."""
        assert self.slot is None
        if not self.memories.reserve():
            return False
        self.slot, self.num_computed = slot, num_computed
        return True

    def unplace(self) -> None:
        """Lose the place, and all that was in it."""
        assert self.slot is not None
        self.memories.release()
        self.slot, self.num_computed = None, 0

    def relocate(self, slot: int) -> list[Move]:
        """Get another place for the present one; returns the moves by which the memories follow."""
        assert self.slot is not None
        origin, self.slot = self.slot, slot
        return self.memories.follow(origin, slot)

    def fork(self, parent: Sequence) -> list[Move]:
        """Get what ``parent``, another beam, has in its memories; returns the moves that this takes."""
        assert parent.slot is not None
        assert self.slot is not None
        return self.memories.fork(parent.memories, parent.slot, self.slot)

    def take_over(self, parent: Sequence) -> None:
        """Become the same as ``parent``, another beam, whose memory this one has been given."""
        self.tokens[: parent.num_tokens] = parent.tokens[: parent.num_tokens]
        self.num_tokens, self.num_computed = parent.num_tokens, parent.num_computed
        self.rules = tuple([rule.fork() for rule in parent.rules])

    def advance(self, num_tokens: int) -> None:
        """Counts so many more tokens as computed."""
        self.num_computed += num_tokens

    def restart(self) -> None:
        """Nothing that is computed counts any longer."""
        self.num_computed = 0

    def usage(self, num_output: int | None = None) -> Usage:
        """Token counts, with an answer of so many tokens; by default those so far. What memories are fed with counts as
        prompt."""
        num_output = self.num_tokens - self.num_prompt if num_output is None else num_output
        return Usage(self.num_prompt + self.memories.size, self.num_cached or 0, num_output)

    def _chunk(self, start: int, length: int) -> Chunk:
        assert self.slot is not None
        end = start + length
        sample = self._sample_order() if end == self.num_tokens else None
        return Chunk(self.id, self.slot, start, self.tokens[start:end], sample, self.shift(start))

    def _sample_order(self) -> SampleOrder:
        tokens = self.tokens[: self.num_tokens]
        late = LateMask(self.rules, tokens) if self.rules else None
        return SampleOrder(self.request.params, tokens, self.num_prompt, None, self.num_candidates, late)
