"""Beam search: its parameters and their limits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from attendant.core.errors import InvalidRequest

EarlyStopping = Literal["heuristic", "first", "never"]


@dataclass(frozen=True, slots=True)
class BeamParams:
    """How one request is answered by beam search, with the meaning that Hugging Face's ``generate`` gives the words.

    A finished hypothesis scores the sum of its tokens' log-probabilities divided by its length to the power of
    ``length_penalty``.

    Attributes:
        num_beams: hypotheses that are continued side by side, at least 2.
        num_return_sequences: of the finished ones, how many are returned, the best first.
        length_penalty: above 0 favours long answers, below 0 short ones.
        early_stopping: when the search ends: ``first``, as soon as num_beams hypotheses are finished; ``heuristic``,
            when no running one can get better at its present length; ``never``, when none can at any length.
    """

    num_beams: int
    num_return_sequences: int = 1
    length_penalty: float = 1.0
    early_stopping: EarlyStopping = "heuristic"

    def validate(self, max_beams: int) -> None:
        """Check every field against its range.

        Raises:
            InvalidRequest: naming the field, its value and the allowed range.
        """
        if not 2 <= self.num_beams <= max_beams:
            raise InvalidRequest("num_beams", f"is {self.num_beams}; allowed: 2 to {max_beams}")
        if not 1 <= self.num_return_sequences <= self.num_beams:
            raise InvalidRequest(
                "n", f"is {self.num_return_sequences}; allowed with beam search: 1 to num_beams, {self.num_beams}"
            )
        if not math.isfinite(self.length_penalty) or abs(self.length_penalty) > 100:
            raise InvalidRequest("length_penalty", f"is {self.length_penalty:g}; allowed: -100 to 100")
