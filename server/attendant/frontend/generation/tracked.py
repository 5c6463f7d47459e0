"""A sequence that an engine has, as far as the event loop knows."""

from __future__ import annotations

from dataclasses import dataclass

from attendant.core.request import Request


@dataclass(slots=True)
class Tracked:
    """A sequence that an engine has: what it needs, and what it has had.

    Attributes:
        answer: tokens that it gets at most. least: those that come for certain.
        done: tokens of the prompt that are computed, as far as is known.
        tokens: of the answer, so far.
    """

    prompt: int
    answer: int
    least: int
    fed: int
    rows: int
    deadline_ns: int | None
    ends_hopeless: bool
    done: int = 0
    tokens: int = 0
    tenant: str = ""
    priority: int = 0
    arrival_ns: int = 0

    @property
    def cost(self) -> int:
        """Tokens that its tenant is charged with when its turn comes."""
        return self.prompt + self.fed

    @classmethod
    def of(cls, request: Request, context_length: int) -> Tracked:
        """A request that nothing has been done for."""
        prompt = len(request.prompt)
        return cls(
            prompt,
            max(min(request.params.max_tokens, context_length - prompt), 1),
            request.sure_tokens,
            request.source.length if request.source is not None else 0,
            request.beams.num_beams if request.beams is not None else 1,
            request.deadline_ns,
            request.ends_hopeless,
            tenant=request.tenant,
            priority=request.priority,
            arrival_ns=request.arrival_ns,
        )
