"""What another room of the front end may ask of a generation, and a caller may not."""

from __future__ import annotations

from dataclasses import dataclass

from attendant.core.generation import GenerationCall
from attendant.core.sampling import TimestampRule


@dataclass(frozen=True, slots=True)
class InnerCall:
    """A generation that is a part of a call which was let in before: it runs also while the server drains.

    Attributes:
        call: what a caller could have asked, too.
        opening: the i-th generated token is the most probable of ``opening[i]``.
        timestamps: the rule of a transcript with timestamps; it begins after the opening.
        asked_logprobs: with ``call.logprobs``, tokens whose log-probabilities are told at the first generated token.
        begun: its call has got something by now: one that would be late ends by its deadline, and is not refused.
    """

    call: GenerationCall
    opening: tuple[tuple[int, ...], ...] = ()
    timestamps: TimestampRule | None = None
    asked_logprobs: tuple[int, ...] = ()
    begun: bool = True
