"""What became of each request, with times that count from when it was due."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from attendant_loadtest.schedule.planned import Planned

OPEN = "open"
ANSWERED = "answered"
CANCELLED = "cancelled"
REFUSED = "refused"
LATE = "late"
FAILED = "failed"
ABANDONED = "abandoned"
OUTCOMES = {
    ANSWERED: "came to its end",
    CANCELLED: "its caller broke off, as was planned",
    REFUSED: "the server had no room for it",
    LATE: "its deadline passed",
    FAILED: "ended with an error, or could not be made",
    ABANDONED: "was under way when the run was broken off",
    OPEN: "is under way",
}
"""What became of a request, and what that means."""


@dataclass(slots=True)
class Sample:
    """One request. All times are seconds from the beginning of the run, and None for what has not come.

    Attributes:
        sent_s: when it was really made; later than it was due if the client was late.
        first_s: its first token. last_s: the last one so far. end_s: its end, of whatever kind.
        gaps: seconds between two messages with tokens, and how many tokens the later one had.
        tokens: of the answer, so far.
        prompt_tokens: as the server counts them.
        server_first_s: to its first token, as the server saw it.
        how: one of :data:`OUTCOMES`. error: of a request that failed, in a few words.
    """

    planned: Planned
    sent_s: float | None = None
    first_s: float | None = None
    last_s: float | None = None
    end_s: float | None = None
    gaps: list[tuple[float, int]] = field(default_factory=list)
    tokens: int = 0
    prompt_tokens: int | None = None
    server_first_s: float | None = None
    how: str = OPEN
    error: str = ""

    def take(self, now_s: float, tokens: int) -> None:
        """A message with so many tokens, at least 1, has come."""
        if self.last_s is None:
            self.first_s = now_s
        else:
            self.gaps.append((now_s - self.last_s, tokens))
        self.last_s = now_s
        self.tokens += tokens

    @property
    def ttft_s(self) -> float | None:
        """From when it was due to its first token."""
        return None if self.first_s is None else self.first_s - self.planned.at_s

    @property
    def e2e_s(self) -> float | None:
        """From when it was due to its end."""
        return None if self.end_s is None else self.end_s - self.planned.at_s

    @property
    def itl_s(self) -> float | None:
        """Mean time of its tokens after the first message; None where none came after it."""
        after = sum(tokens for _, tokens in self.gaps)
        if not after or self.first_s is None or self.last_s is None:
            return None
        return (self.last_s - self.first_s) / after

    @property
    def lateness_s(self) -> float | None:
        """How much later than due the client made it."""
        return None if self.sent_s is None else self.sent_s - self.planned.at_s

    @property
    def well(self) -> bool:
        """It ended as its caller wanted."""
        return self.how in (ANSWERED, CANCELLED)

    def line(self) -> str:
        """As a line of JSON. Gaps are pairs of seconds and tokens."""
        planned = self.planned
        values: dict[str, Any] = {"at_s": planned.at_s, "prompt": planned.prompt, "answer": planned.answer}
        for name in ("sent_s", "first_s", "last_s", "end_s", "tokens", "prompt_tokens", "how", "error"):
            values[name] = getattr(self, name)
        return json.dumps(values | {"gaps": self.gaps})
