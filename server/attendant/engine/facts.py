"""What never changes of an engine, for those who are not where it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from attendant.core.pace import NO_PACE, Pace
from attendant.engine.step_rules import ANY_RULES, StepRules


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What never changes of an engine.

    Attributes:
        name: of the engine, for threads, the log and errors.
        max_running: sequences that run together; more of them wait.
        context_length: tokens of prompt and answer together.
        kv_capacity_tokens: budget of KV memory, in positions of one sequence.
        kv_page_tokens: positions that KV memory is handed out in.
        rules: by which it decides its steps.
        pace: of its steps, as far as it was learnt when it was loaded.
    """

    name: str
    max_running: int
    context_length: int
    kv_capacity_tokens: int
    kv_page_tokens: int
    rules: StepRules = ANY_RULES
    pace: Pace = field(default=NO_PACE, compare=False)

    @classmethod
    def least(cls, engines: Iterable[EngineFacts]) -> EngineFacts:
        """What holds for each of several engines, at least one, whose pages are alike; it has the first one's name."""
        found = tuple(engines)
        return cls(
            found[0].name,
            min(facts.max_running for facts in found),
            min(facts.context_length for facts in found),
            min(facts.kv_capacity_tokens for facts in found),
            found[0].kv_page_tokens,
            found[0].rules,
            found[0].pace,
        )

    def max_sequences(self, num_tokens: int) -> int:
        """How many sequences of so many tokens the KV memory holds at once, whatever they share: beams that one search
        may have."""
        return self.kv_capacity_tokens // self.kv_page_tokens // -(-num_tokens // self.kv_page_tokens)
