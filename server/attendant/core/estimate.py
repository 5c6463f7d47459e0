"""What would become of a request that is not sent."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """What would become of a request if it came now.

    Attributes:
        known: something is known of the model's pace; else the seconds are 0.
        first_token_s, end_s: seconds until its first token, and until its end.
        admitted: it would be let in.
        refusal: why not, in the words of the error; empty if it would be.
        retry_after_s: when it would be, in seconds; 0 if at once.
        requests_ahead: that run or wait where it would go.
        tokens_ahead: of prompts that are to be computed there.
    """

    known: bool
    first_token_s: float
    end_s: float
    admitted: bool
    refusal: str
    retry_after_s: float
    requests_ahead: int
    tokens_ahead: int
