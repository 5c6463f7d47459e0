"""Which sequences have a place: who gets one, who grows in it, and who gives it up."""

from __future__ import annotations

from collections.abc import Iterator

from attendant.engine.limits import SchedulerLimits
from attendant.engine.live import LiveSequences
from attendant.engine.pool import KVPool, acquire_all
from attendant.engine.sequence import Sequence
from attendant.engine.waiting import WaitingQueue


class Places:
    """The sequences with KV memory. The first in order is never asked to give its memory up for others: so it always
    advances, and of those that have been submitted everybody finishes."""

    def __init__(self, pool: KVPool, limits: SchedulerLimits, live: LiveSequences, waiting: WaitingQueue) -> None:
        self._pool = pool
        self._limits = limits
        self._live = live
        self._waiting = waiting
        self._running: list[Sequence] = []  # in order when a step is scheduled
        self._sorted = True
        self._wants: Sequence | None = None  # the first in the queue, if it found no place in the last step
        self.num_preemptions = 0

    def __len__(self) -> int:
        return len(self._running)

    def __iter__(self) -> Iterator[Sequence]:
        return iter(self._running)

    def in_order(self, now_ns: int) -> list[Sequence]:
        """Those that have a place, when a step begins. Before that one of them may give its place up to
        the first in the queue that found none in the last step."""
        wants, self._wants = self._wants, None
        if wants is not None and self._running and wants is self._waiting.first(now_ns):
            last = self._waiting.victim(self._running)
            if self._gives_way(last, wants):
                self.preempt(last)
        if self._waiting.mixed or not self._sorted:
            self._running.sort(key=self._waiting.rank)
            self._sorted = not self._waiting.mixed
        return self._running

    def admit(self, sequence: Sequence, now_ns: int) -> list[Sequence]:
        """Place a sequence that waits, if it fits.

        Returns those that were placed and have something to compute: of a beam search, there may be several.
        """
        members = self._live.members(sequence)
        light = self._waiting.is_light(sequence)
        most = self._limits.max_num_seqs + (self._limits.spare_seqs if light else 0)
        if len(self._running) + len(members) > most or not acquire_all(self._pool, members):
            self._wants = sequence if light or self._waiting.rules.takes_places else None
            return []
        self._waiting.remove(sequence)
        self._waiting.begins(sequence, first=not sequence.clock.first_scheduled_ns)
        for member in members:
            member.level = sequence.level
            self._waiting.placed(member)
            self._running.append(member)
            member.clock.scheduled(now_ns)
        self._sorted = False
        return [member for member in members if not member.rests]

    def extend(self, sequence: Sequence) -> bool:
        """Memory for the sequence's next position, if need be by preempting the last in order, which may be itself.

        A beam that has no continuation for now has as much as the others: it may take over one of theirs.
        """
        parked = [beam for beam in self._live.members(sequence) if beam.parked] if sequence.num_candidates else ()
        while sequence.slot is not None:
            if all(self._pool.extend(each, sequence.num_tokens) for each in (sequence, *parked)):
                return True
            self.preempt(self._waiting.victim(self._running))
        return False

    def preempt(self, sequence: Sequence) -> None:
        """The sequence, or the search it is a beam of, gives its memory up and waits again."""
        for member in self._live.members(sequence):
            self._unplace(member)
            member.clock.num_preemptions += 1
        if group := self._live.group_of(sequence):
            group.lost_places()
        self._waiting.add(sequence)
        self.num_preemptions += 1

    def leave(self, members: tuple[Sequence, ...]) -> None:
        """These have ended."""
        for member in members:
            if member.slot is not None:
                self._unplace(member)

    def _gives_way(self, last: Sequence, wants: Sequence) -> bool:
        """Whether the last in order of those that run gives its place up to one that waits: to that of a light tenant,
        and if that is turned on, to one of higher priority."""
        if self._waiting.rules.takes_places and last.level < wants.ticket.priority:
            return True
        waiting = self._waiting
        return waiting.is_light(wants) and not waiting.is_light(last) and waiting.rank(wants) < waiting.rank(last)

    def _unplace(self, sequence: Sequence) -> None:
        self._running.remove(sequence)
        self._waiting.unplaced(sequence)
        self._pool.release(sequence)
