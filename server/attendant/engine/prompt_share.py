"""The part of a step's token budget that prompts get."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from attendant.core.plan import Chunk
from attendant.engine.chunking import SHORT_PIECE, SMALLEST_BUDGET, ChunkRule
from attendant.engine.pool import MIN_PREFIX, common_prefix
from attendant.engine.sequence import Sequence


@dataclass(slots=True)
class PromptShare:
    """What a step computes of prompts and feeds to memories, and what is left of the budget for more.

    Args:
        rule: where prompts may be cut.
        budget: tokens that are left.
        others: other prompts have had a part of the budget.
        most: tokens of prompts of tenants that are not light, so that the step is short for light ones that may come.
            None: as many as there is budget for.

    Attributes:
        feeding: sequences whose memories are fed.
        decoding: sequences that were placed and have nothing to compute before a decode.
        has_light: prompts of light tenants are computed.
    """

    rule: ChunkRule
    budget: int
    others: bool
    most: int | None = None
    feeding: list[Sequence] = field(default_factory=list)
    decoding: list[Sequence] = field(default_factory=list)
    has_light: bool = False
    _num_tokens: int = 0
    _prefills: list[tuple[Sequence, list[int]]] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether something of prompts is computed."""
        return bool(self._prefills or self.feeding)

    def is_worth_a_piece(self, sequence: Sequence) -> bool:
        """Whether to run a piece of the prompt within what is left.

        A memory is fed as a whole, whatever the length, if nothing else is computed besides the decodes.
        """
        if self.budget < SMALLEST_BUDGET:
            return False
        least = sequence.memories.num_missing + min(sequence.num_prefill_missing, SHORT_PIECE)
        return not self.others or self.budget >= least

    def keeps_short(self, sequence: Sequence, *, light: bool) -> bool:
        """Whether the run stays as short as it should for light tenants, if the sequence's prompt goes into it: beside
        theirs no other does, and while some may come, of others only what is short together."""
        if light or not self:
            return True
        missing = sequence.memories.num_missing + sequence.num_prefill_missing
        return not self.has_light and (self.most is None or self._num_tokens + missing <= self.most)

    def joins(self, sequence: Sequence, num_waiting: int, run_cost: int) -> bool:
        """Whether a prompt goes into the run of those that were taken, or waits for a run of its own.

        It would delay their tokens by what it costs itself, and spare itself and all that wait behind it a run's cost.
        So the sum of all waits falls if it joins as long as the latter is more. And it waits where it will find a part
        of itself in the cache once they are computed.

        Args:
            num_waiting: prompts that are not taken yet, this one among them.
            run_cost: as :class:`~attendant.engine.limits.SchedulerLimits` has it.
        """
        if not self._prefills:
            return True
        piece = min(sequence.num_prefill_missing, self.budget)
        if len(self._prefills) * piece > run_cost * num_waiting:
            return False
        tokens = sequence.tokens[: sequence.num_tokens - 1]
        return sequence.slot is not None or not any(
            common_prefix(tokens, other.tokens[: other.num_prompt]) >= other.num_computed + MIN_PREFIX
            for other, _ in self._prefills
        )

    def take(self, sequence: Sequence, *, light: bool = False) -> None:
        """Compute what the sequence needs next, or as much of it as fits; a sequence taken never gets nothing."""
        if sequence.memories.is_missing:
            self.feeding.append(sequence)
            self._spend(sequence.memories.num_missing)
        if sequence.decodes:
            self.decoding.append(sequence)
            self.budget -= 1
            return
        self.has_light = self.has_light or light
        budget = max(self.budget if light or self.most is None else min(self.budget, self.most), SMALLEST_BUDGET)
        if cuts := self.rule.cuts(sequence.num_computed, sequence.num_prefill_missing, budget):
            self._prefills.append((sequence, cuts))
            self._spend(sum(cuts))

    def chunks(self) -> Iterator[Chunk]:
        """The chunks of prompts to compute, in order."""
        for sequence, cuts in self._prefills:
            yield from sequence.chunks(cuts)

    def _spend(self, num_tokens: int) -> None:
        self.budget -= num_tokens
        self._num_tokens += num_tokens
        self.others = True
