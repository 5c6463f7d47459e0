"""The scheduler's rules over counts of tokens, and sequences as counts: what foresight is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from attendant.core.pace import Pace
from attendant.engine.chunking import MIN_CHUNK, SMALLEST_BUDGET, FixedCuts
from attendant.engine.limits import SchedulerLimits

NEVER = math.inf


@dataclass(frozen=True, slots=True)
class StepRules:
    """The scheduler's rules, as far as they say when a sequence gets its tokens.

    Attributes:
        max_num_seqs, max_num_batched_tokens, prompts_apart, run_cost: see
            :class:`~attendant.engine.limits.SchedulerLimits`.
        cut_every: prompts are cut at multiples of so many tokens; 0: anywhere.
        recomputes_in_rows: see :class:`~attendant.engine.chunking.FreeCuts`.
        kv_tokens, page_tokens: positions of KV memory, and those that it is handed out in.
        spare_seqs: as many more run as ``max_num_seqs``, of light tenants alone.
        short_prompts: see :class:`~attendant.engine.limits.SchedulerLimits`. short: steps should be so now.
    """

    max_num_seqs: int = 1
    max_num_batched_tokens: int = 1 + SMALLEST_BUDGET
    prompts_apart: bool = False
    run_cost: int | None = None
    cut_every: int = 0
    recomputes_in_rows: bool = True
    kv_tokens: int = 1 << 40
    page_tokens: int = 1
    spare_seqs: int = 0
    short_prompts: int = 1 << 40
    short: bool = False

    @classmethod
    def of(cls, limits: SchedulerLimits, kv_tokens: int, page_tokens: int) -> StepRules:
        """Those of a scheduler with these limits and so much memory."""
        return cls(
            limits.max_num_seqs,
            limits.max_num_batched_tokens,
            limits.prompts_apart,
            limits.run_cost,
            limits.rule.multiple if isinstance(limits.rule, FixedCuts) else 0,
            limits.rule.recomputes_in_rows,
            kv_tokens,
            page_tokens,
            limits.spare_seqs,
            limits.short_prompts,
        )

    def cut(self, start: int, missing: int, budget: int) -> int:
        """Tokens of a prompt that a step computes from ``start`` on, of so many that are missing."""
        if self.cut_every:
            length = 0
            while length < missing and length < budget:
                length += min(missing - length, self.cut_every - (start + length) % self.cut_every)
            return length
        length = min(missing, budget)
        return length - 1 if self.recomputes_in_rows and missing - length == 1 and length > MIN_CHUNK else length

    def joins(self, num_prompts: int, missing: int, budget: int, num_waiting: int) -> bool:
        """Whether a prompt is computed in the run of ``num_prompts`` others; see ``PromptShare.joins``."""
        if self.run_cost is None or not num_prompts:
            return True
        return num_prompts * min(missing, budget) <= self.run_cost * num_waiting

    def pages(self, num_tokens: int) -> int:
        """Positions of the pages that so many take, and one more."""
        return -(-(num_tokens + 1) // self.page_tokens) * self.page_tokens


ANY_RULES = StepRules()


class Course(NamedTuple):
    """A sequence as foresight sees it.

    Attributes:
        missing: tokens of its prompt that are still to be computed, in chunks.
        computed: positions that it has in the KV cache.
        answer: tokens that are still to come, at least one.
        fed: positions that its memories have to be fed with before.
        rows: it decodes: the beams of a search.
        placed: it has KV memory.
        generated: tokens that it has beside its prompt: after a preemption they may be computed in decode rows again.
        least: of the answer, tokens that come for certain.
        ends_by_s: when the scheduler ends it, if it sees that it cannot be complete by then.
        light: it is of a light tenant.
    """

    missing: int
    computed: int
    answer: int
    fed: int = 0
    rows: int = 1
    placed: bool = False
    generated: int = 0
    least: int = 1
    ends_by_s: float = NEVER
    light: bool = False


class Traffic(NamedTuple):
    """Requests that are to be expected: one like ``course`` every ``interval_s`` seconds."""

    interval_s: float
    course: Course


def least_s(pace: Pace, course: Course, rows: int, context: int) -> float:
    """Seconds that a sequence without a token takes at least, from where it gets a place on, if ``rows`` go on that
    attend to ``context`` positions."""
    prompt_s = pace.prompt_s(course.computed, course.missing, course.fed)
    row_context = context + course.rows * (course.computed + course.missing)
    return prompt_s + course.least * pace.decode_s(rows + course.rows, row_context)
