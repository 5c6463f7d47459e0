"""KV memory as slots: each sequence owns one, free slots keep what was computed in them as the prefix cache.

A slot costs memory only for the positions that were touched (``held``). The decode batch must be contiguous rows from
slot 0 on, so sequences take the lowest free slot; contents worth keeping move out of the way, to the place of the least
recently used.
"""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, field

import numpy as np

from attendant.core.plan import Copy, Filler, Move, Tokens, Trim
from attendant.engine.chunking import ANYWHERE, MIN_CHUNK, ChunkRule
from attendant.engine.pool import MIN_PREFIX, PrefixStats, common_prefix
from attendant.engine.sequence import CacheIdentity, Sequence

HOLE_PATIENCE = 8
"""Rows run for nothing before a sequence is moved into a hole: a move costs about as much (ski rental)."""

_NOTHING: Tokens = np.empty(0, np.int64)


@dataclass(slots=True)
class _Slot:
    index: int
    owner: Sequence | None = None
    cached: Tokens = field(default_factory=lambda: _NOTHING)  # tokens whose KV a free slot still has
    cached_identity: CacheIdentity = (b"", 0)
    cached_prefilled: int = 0  # of those, how many leading ones were computed in chunks
    held: int = 0  # positions of memory counted against the budget
    need: int = 0  # positions promised to the owner
    last_used: int = 0

    @property
    def content(self) -> Tokens:
        """Tokens whose keys and values are in the slot."""
        return self.cached if self.owner is None else self.owner.tokens[: self.owner.num_computed]

    @property
    def identity(self) -> CacheIdentity:
        """What the content depends on besides tokens."""
        return self.cached_identity if self.owner is None else self.owner.cache_identity

    @property
    def num_prefilled(self) -> int:
        """Leading positions of the content that were computed in chunks, not in decode rows."""
        return self.cached_prefilled if self.owner is None else self.owner.num_prefilled


class SlotPool:
    """A :class:`~attendant.engine.pool.KVPool` of ``num_slots`` slots.

    Args:
        num_slots: sequences that can have a place at once.
        max_length: positions of a slot.
        capacity_tokens: positions over all slots; at least ``max_length``.
        page_tokens: positions that memory is counted in (an operating system page of one head).
        rule: where prompts are cut into chunks, and so how much of one can be reused.
        prefix_cache: keep and reuse what earlier sequences computed.
    """

    def __init__(
        self,
        num_slots: int,
        max_length: int,
        capacity_tokens: int,
        *,
        page_tokens: int = 1,
        rule: ChunkRule = ANYWHERE,
        prefix_cache: bool = True,
    ) -> None:
        assert capacity_tokens >= max_length
        assert max_length % page_tokens == 0
        self._slots = [_Slot(i) for i in range(num_slots)]
        self._max_length = max_length
        self._capacity = capacity_tokens
        self._page = page_tokens
        self._rule = rule
        self._prefix_cache = prefix_cache
        self._held = 0  # sum of held
        self._need = 0  # sum of need
        self._clock = 0
        self._wasted_rows = 0
        self._moves: list[Move] = []
        self._queries = self._hits = 0

    @property
    def capacity_tokens(self) -> int:
        return self._capacity

    @property
    def used_tokens(self) -> int:
        return self._need

    @property
    def prefix_stats(self) -> PrefixStats:
        return PrefixStats(self._queries, self._hits)

    @property
    def contiguous_rows(self) -> bool:
        return True

    @property
    def page_tokens(self) -> int:
        return self._page

    def acquire(self, sequence: Sequence, beside: int = 0) -> bool:
        target = next((slot for slot in self._slots if slot.owner is None), None)
        if target is None:
            return False
        need = self._round_up(sequence.num_tokens + 1)
        running = sum(slot.owner is not None for slot in self._slots) - beside
        if self._need + need + running * self._page > self._capacity:
            return False
        match, length = self._longest_prefix(sequence, target)
        if not sequence.place(target.index, length):
            return False
        if match is not target or len(target.cached) - length >= MIN_PREFIX:
            self._keep_elsewhere(target, match)
        if match is not target:
            self._moves.append(Copy(match.index, target.index, length))
            match.last_used = self._tick()
        self._give(target, sequence, need)
        if sequence.num_cached is None:
            sequence.num_cached = length
            self._queries += sequence.num_prompt
            self._hits += length
        return True

    def extend(self, sequence: Sequence, num_tokens: int) -> bool:
        assert sequence.slot is not None
        slot = self._slots[sequence.slot]
        if num_tokens <= slot.need:
            return True
        need = self._round_up(num_tokens)
        if self._need - slot.need + need > self._capacity:
            return False
        self._promise(slot, need)
        return True

    def release(self, sequence: Sequence) -> None:
        assert sequence.slot is not None
        slot = self._slots[sequence.slot]
        slot.cached_prefilled, slot.cached_identity = slot.num_prefilled, slot.identity
        slot.cached = slot.content.copy() if self._prefix_cache and sequence.memories.shares_prefixes else _NOTHING
        slot.last_used = self._tick()
        self._vacate(slot)
        sequence.unplace()

    def fork(self, parent: Sequence, child: Sequence, start: int) -> None:
        assert parent.slot is not None
        assert child.slot is not None
        if start < parent.num_computed:
            self._moves.append(Copy(parent.slot, child.slot, parent.num_computed, start))
        self._moves += child.fork(parent)

    def arrange(self, decoding: SequenceOf[Sequence]) -> tuple[Filler, ...]:
        top = max((s.slot for s in decoding if s.slot is not None), default=-1)
        if top + 1 == len(decoding):
            self._wasted_rows = 0
            return ()
        holes = [slot for slot in self._slots[:top] if slot.owner is None]
        self._wasted_rows = self._wasted_rows + len(holes) if holes else 0
        if self._wasted_rows >= HOLE_PATIENCE:
            self._relocate(self._slots[top], holes[0])
            return self.arrange(decoding)
        rows = {s.slot for s in decoding}
        return tuple(self._filler(slot) for slot in self._slots[:top] if slot.index not in rows)

    def take_moves(self) -> tuple[Move, ...]:
        moves, self._moves = tuple(self._moves), []
        return moves

    def check(self) -> None:
        assert self._held == sum(slot.held for slot in self._slots) <= self._capacity
        assert self._need == sum(slot.need for slot in self._slots) <= self._held
        for slot in self._slots:
            assert 0 <= slot.need <= slot.held <= self._max_length
            assert len(slot.content) <= slot.held
            if slot.owner is None:
                assert slot.need == 0
            else:
                assert slot.owner.slot == slot.index
                assert len(slot.cached) == 0

    # -- prefix reuse

    def _longest_prefix(self, sequence: Sequence, target: _Slot) -> tuple[_Slot, int]:
        """The slot to take a prefix from, and its length. Among equals, ``target`` itself: nothing has to move."""
        if not self._prefix_cache or not sequence.memories.shares_prefixes:
            return target, 0
        best, length = target, self._usable(sequence, target)
        for slot in self._slots:
            usable = self._usable(sequence, slot)
            if usable >= MIN_PREFIX and usable > length:
                best, length = slot, usable
        return best, length

    def _usable(self, sequence: Sequence, slot: _Slot) -> int:
        """Positions of the slot that are what the sequence would compute itself, to the last bit if the rule asks that.

        Then prompt tokens have to come from chunks, and leave a chunk of at least two to compute. A sequence that lost
        its place may find its own generated tokens again.
        """
        if slot.identity != sequence.cache_identity:
            return 0
        common = common_prefix(sequence.tokens[: sequence.num_tokens - 1], slot.content)
        in_chunks = 0 if sequence.prompt_in_rows else sequence.num_prompt
        if not self._rule.recomputes_in_rows or common >= in_chunks == slot.num_prefilled:
            return common
        return self._rule.reusable(min(common, slot.num_prefilled, max(sequence.num_prompt - MIN_CHUNK, 0)))

    def _keep_elsewhere(self, slot: _Slot, spare: _Slot) -> None:
        """Save the content of a slot about to be overwritten in the place of the least recently used one."""
        content, slot.cached = slot.cached, _NOTHING
        victims = [s for s in self._slots if s.owner is None and s is not slot and s is not spare]
        if len(content) < MIN_PREFIX or not victims:
            return
        victim = min(victims, key=lambda s: (len(s.cached) > 0, s.last_used))
        held = max(victim.held, self._round_up(len(content)))
        if (
            len(victim.cached) and victim.last_used > slot.last_used
        ) or self._held - victim.held + held > self._capacity:
            return
        self._moves.append(Copy(slot.index, victim.index, len(content)))
        victim.cached, victim.cached_prefilled, victim.last_used = content, slot.cached_prefilled, slot.last_used
        victim.cached_identity = slot.cached_identity
        self._held += held - victim.held
        victim.held = held

    # -- places

    def _give(self, slot: _Slot, sequence: Sequence, need: int) -> None:
        slot.owner, slot.cached = sequence, _NOTHING
        self._promise(slot, need)

    def _vacate(self, slot: _Slot) -> None:
        slot.owner = None
        self._need -= slot.need
        slot.need = 0

    def _relocate(self, origin: _Slot, target: _Slot) -> None:
        """Move the owner of ``origin`` into the free slot ``target``."""
        owner, need = origin.owner, origin.need
        assert owner is not None
        self._keep_elsewhere(target, origin)
        self._moves.append(Copy(origin.index, target.index, owner.num_computed))
        self._moves += owner.relocate(target.index)
        self._vacate(origin)
        origin.cached, origin.last_used = _NOTHING, 0
        self._give(target, owner, need)

    def _filler(self, slot: _Slot) -> Filler:
        """A row that writes where nothing of value is: just behind the content, which loses its last position if it
        fills all the memory that is counted."""
        if slot.owner is None and len(slot.cached) >= max(slot.held, 1):
            slot.cached = slot.cached[: max(slot.held, 1) - 1]
        return Filler(slot.index, len(slot.content))

    # -- memory

    def _promise(self, slot: _Slot, need: int) -> None:
        """Raise ``need`` of a slot; the caller has made sure that all needs together fit the capacity."""
        self._need += need - slot.need
        slot.need = need
        missing = need - slot.held
        if missing > 0:
            self._make_room(missing, slot)
            slot.held = need
            self._held += missing

    def _make_room(self, extra: int, keep: _Slot) -> None:
        """Drop cached contents, least recently used first, then memory beyond owners' needs."""
        while self._held + extra > self._capacity:
            spare = [s for s in self._slots if s.held > s.need and s is not keep]
            assert spare, "needs exceed the capacity"
            victim = min(spare, key=lambda s: (s.owner is not None, s.last_used))
            if victim.owner is None:
                victim.cached = _NOTHING
            self._moves.append(Trim(victim.index, victim.need))
            self._held -= victim.held - victim.need
            victim.held = victim.need

    def _round_up(self, num_tokens: int) -> int:
        return min(-(-num_tokens // self._page) * self._page, self._max_length)

    def _tick(self) -> int:
        self._clock += 1
        return self._clock
