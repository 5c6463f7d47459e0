"""Beam search over one request, without a model: which hypotheses go on, which are finished, and when to end.

The rules are those of Hugging Face's ``generate``, so that answers are the same: of all continuations of all beams, the
best are taken in order; one that ends and is among the first ``num_beams`` is a finished hypothesis, those that do not
end go on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from attendant.core.beams import BeamParams
from attendant.core.plan import Continuations


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A running or finished answer: its tokens, the natural log-probability of each, and the sum of those.

    ``stop_token`` is the last of the tokens if it ended the answer; otherwise the length did, or it is ``complete``: a
    rule lets nothing follow.
    """

    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    total: float = 0.0
    stop_token: int | None = None
    complete: bool = False

    def score(self, length_penalty: float) -> float:
        """What hypotheses are ranked by."""
        return self.total / float(len(self.tokens) ** length_penalty)


class Extension(NamedTuple):
    """A beam of the next step: beam ``parent`` of this one, and one more token."""

    parent: int
    token: int


def num_candidates(params: BeamParams, num_stop_ids: int) -> int:
    """Continuations to look at: enough that ``num_beams`` of them do not end."""
    return max(2, 1 + num_stop_ids) * params.num_beams


class BeamSearch:
    """The state of one search.

    Args:
        stop_ids: tokens that end an answer. max_tokens: its greatest length.
    """

    def __init__(self, params: BeamParams, stop_ids: frozenset[int], max_tokens: int) -> None:
        self._params = params
        self._stop_ids = stop_ids
        self._max_tokens = max_tokens
        self._running = [Hypothesis()]
        self._finished: list[Hypothesis] = []  # best first, at most num_beams

    @property
    def running(self) -> tuple[Hypothesis, ...]:
        """The beams, best first. At the begin, there is one."""
        return tuple(self._running)

    def advance(self, rows: Sequence[Continuations], complete: Sequence[bool] = ()) -> tuple[Extension, ...]:
        """Go on by one token.

        Args:
            rows: for each running beam its most probable continuations, as many as :func:`num_candidates` says.
            complete: for each whether it is an answer that is complete: without a continuation it is a finished one.

        Returns:
            The beams of the next step, ``num_beams`` or what the rules leave of them, best first; none when the search
            has ended.
        """
        num_beams = self._params.num_beams
        ranked = sorted(
            (
                (beam.total + logprob, parent, token, logprob)
                for parent, (beam, row) in enumerate(zip(self._running, rows, strict=True))
                for token, logprob in zip(row.tokens, row.logprobs, strict=True)
                if logprob > -math.inf
            ),
            key=lambda entry: (-entry[0], entry[1], entry[2]),
        )[: num_candidates(self._params, len(self._stop_ids))]
        for beam, row, is_complete in zip(self._running, rows, complete, strict=False):
            if is_complete and not any(logprob > -math.inf for logprob in row.logprobs):
                self._finished.append(replace(beam, complete=True))
        going: list[tuple[Extension, Hypothesis]] = []
        length = len(self._running[0].tokens) + 1
        for rank, (total, parent, token, logprob) in enumerate(ranked):
            stops = token in self._stop_ids
            beam = self._running[parent]
            longer = Hypothesis(
                (*beam.tokens, token), (*beam.logprobs, logprob), total, stop_token=token if stops else None
            )
            if not stops and length < self._max_tokens:
                going.append((Extension(parent, token), longer))
            elif rank < num_beams:
                self._finished.append(longer)
        self._finished.sort(key=lambda hypothesis: -hypothesis.score(self._params.length_penalty))
        del self._finished[num_beams:]
        going = going[:num_beams]
        self._running = [hypothesis for _, hypothesis in going]
        return () if self._has_ended(length) else tuple(extension for extension, _ in going)

    def results(self) -> tuple[Hypothesis, ...]:
        """The ``num_return_sequences`` best finished hypotheses, best first, once the search has ended."""
        return tuple(self._finished[: self._params.num_return_sequences])

    def _has_ended(self, length: int) -> bool:
        """Whether nothing is left to go on with, or worth it, after answers of ``length`` tokens."""
        params = self._params
        if not self._running:  # at the greatest length, for example
            return True
        if len(self._finished) < params.num_beams:
            return False
        if params.early_stopping == "first":
            return True
        reach = length
        if params.early_stopping == "never" and params.length_penalty > 0:
            reach = self._max_tokens
        best_possible = self._running[0].total / float(reach**params.length_penalty)
        return best_possible <= self._finished[-1].score(params.length_penalty)
