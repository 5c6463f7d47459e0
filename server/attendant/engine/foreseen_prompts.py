"""The part of a step that prompts get, in thought: counts of tokens in place of sequences."""

from __future__ import annotations

from attendant.engine.chunking import SHORT_PIECE, SMALLEST_BUDGET
from attendant.engine.step_rules import Course, StepRules


class PromptsOfStep:
    """What a step computes of prompts; see :class:`~attendant.engine.prompt_share.PromptShare`.

    Attributes:
        dropped: who gets no place, as it would be late. spent: tokens of prompts, and positions fed.
        done: whose prompts are complete then. decoding: who decode and compute no prompt: number, context, steps.
        unfinished: whose prompts are not complete: number, tokens that are missing.
        has_light: prompts of light tenants are computed.
    """

    __slots__ = (
        "attended",
        "budget",
        "decoding",
        "done",
        "dropped",
        "fed",
        "has_light",
        "num_prompts",
        "others",
        "spent",
        "tokens",
        "unfinished",
    )

    def __init__(self, budget: int, others: bool) -> None:
        self.budget, self.others = budget, others
        self.tokens = self.attended = self.fed = self.num_prompts = 0
        self.dropped: list[int] = []
        self.spent = 0
        self.has_light = False
        self.done: list[int] = []
        self.decoding: list[tuple[int, int, int]] = []
        self.unfinished: list[tuple[int, int]] = []

    def __bool__(self) -> bool:
        return self.computes or bool(self.decoding)

    @property
    def computes(self) -> bool:
        """Whether something of prompts or sources is computed."""
        return bool(self.num_prompts or self.fed)

    def is_worth_a_piece(self, missing: int, fed: int) -> bool:
        """Whether to run a piece of a prompt within what is left."""
        if self.budget < SMALLEST_BUDGET:
            return False
        return not self.others or self.budget >= fed + min(missing, SHORT_PIECE)

    def keeps_short(self, rules: StepRules, course: Course, missing: int) -> bool:
        """Whether the run stays as short as it should for light tenants, if the prompt goes into it."""
        if course.light or not self:
            return True
        return not self.has_light and (not rules.short or self.spent + course.fed + missing <= rules.short_prompts)

    def spend(self, num_tokens: int) -> None:
        self.budget -= num_tokens
        self.spent += num_tokens
        self.others = True

    def compute(self, rules: StepRules, number: int, course: Course, missing: int) -> Course:
        """Take what the sequence needs next, or as much of it as fits. Returns what it is then."""
        if course.fed:
            self.fed += course.fed
            self._spend(course.fed)
            course = course._replace(fed=0)
        if not missing:  # its next token belongs in a decode row
            self.decoding.append((number, course.computed, course.answer + course.generated))
            self.budget -= 1
            return course
        start = course.computed + course.missing - missing
        self.has_light = self.has_light or course.light
        budget = min(self.budget, rules.short_prompts) if rules.short and not course.light else self.budget
        length = rules.cut(start, missing, max(budget, SMALLEST_BUDGET))
        self.tokens += length
        self.attended += length * start + length * (length + 1) // 2
        self.num_prompts += 1
        self._spend(length)
        if length == missing:
            self.done.append(number)
        else:
            self.unfinished.append((number, missing - length))
        return course

    def _spend(self, num_tokens: int) -> None:
        self.budget -= num_tokens
        self.spent += num_tokens
        self.others = True
