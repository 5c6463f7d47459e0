"""How long a step takes, as a function of what it computes: what an engine has learnt, for all who plan with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from attendant.core.plan import StepPlan


ENOUGH_STEPS = 16
"""Steps that a pace is learnt from before anybody is refused or ended by it."""


class StepWork(NamedTuple):
    """What a step computes, as far as its duration depends on it.

    Attributes:
        prompt_tokens: tokens in chunks of prompts.
        attended: positions that each of them attends to, added up over all of them.
        rows: decode rows, fillers included.
        context: positions that each of them attends to, added up.
        fed_tokens: positions that memories beside the KV cache are fed with.
    """

    prompt_tokens: int = 0
    attended: int = 0
    rows: int = 0
    context: int = 0
    fed_tokens: int = 0

    @classmethod
    def of(cls, plan: StepPlan) -> StepWork:
        """What ``plan`` computes."""
        prompt_tokens = attended = 0
        for chunk in plan.prefills:
            length = len(chunk.tokens)
            prompt_tokens += length
            attended += length * chunk.start + length * (length + 1) // 2
        context = sum([chunk.start for chunk in plan.decodes]) + sum([filler.position for filler in plan.fillers])
        return cls(prompt_tokens, attended, plan.num_rows, context, sum([feed.size for feed in plan.feeds]))


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds that steps take: the sum of what each part of their work costs.

    Attributes:
        step: any step.
        prompts: one that computes prompts, besides.
        prompt_token, attended: see :class:`StepWork`; each one.
        row, context, fed_token: likewise.
        num_steps: that it was learnt from; 0: nothing is known.
    """

    step: float = 0.0
    prompts: float = 0.0
    prompt_token: float = 0.0
    attended: float = 0.0
    row: float = 0.0
    context: float = 0.0
    fed_token: float = 0.0
    num_steps: int = 0

    @classmethod
    def of(cls, costs: Sequence[float], num_steps: int) -> Pace:
        """That of costs in the order of :data:`PARTS`."""
        step, prompts, prompt_token, attended, row, context, fed_token = costs
        return cls(step, prompts, prompt_token, attended, row, context, fed_token, num_steps)

    def times(self, factor: float) -> Pace:
        """The same on a machine that takes so many times as long."""
        return Pace.of([factor * getattr(self, part) for part in PARTS], self.num_steps)

    @property
    def is_sure(self) -> bool:
        """Whether enough is known to decide by it."""
        return self.num_steps >= ENOUGH_STEPS

    def seconds(self, work: StepWork) -> float:
        """How long a step with this work takes."""
        return (
            self.step
            + (self.prompts if work.prompt_tokens or work.fed_tokens else 0.0)
            + self.prompt_token * work.prompt_tokens
            + self.attended * work.attended
            + self.row * work.rows
            + self.context * work.context
            + self.fed_token * work.fed_tokens
        )

    def prompt_s(self, start: int, length: int, fed: int = 0) -> float:
        """How much longer a step takes that computes ``length`` tokens of a prompt from ``start`` on."""
        if not length and not fed:
            return 0.0
        attended = length * start + length * (length + 1) // 2
        return self.prompts + self.prompt_token * length + self.attended * attended + self.fed_token * fed

    def decode_s(self, rows: int, context: int) -> float:
        """How long a step takes that decodes ``rows`` which attend to ``context`` positions in all."""
        return self.step + self.row * rows + self.context * context


PARTS = ("step", "prompts", "prompt_token", "attended", "row", "context", "fed_token")
"""What a pace has seconds for, by its fields."""

NO_PACE = Pace()
