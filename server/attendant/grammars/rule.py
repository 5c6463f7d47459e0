"""A grammar at work: which tokens may follow an answer so far, and whether the answer is complete."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from llguidance import LLMatcher

from attendant.core.errors import InvalidRequest
from attendant.core.grammar import Grammar
from attendant.core.token_rules import TokenMask
from attendant.grammars.compiled import CompiledGrammar
from attendant.grammars.notation import shortened

_MEAN = 0.1
"""Of the time that one mask may take, what those of an answer may take in the mean."""


@dataclass(slots=True)
class _Spent:
    """Processor time that an answer's masks took, and how many there were."""

    seconds: float = 0.0
    num_masks: int = 0


class GrammarRule:
    """A :class:`~attendant.core.token_rules.TokenRule`: the answer is a text of a grammar, or the beginning of one.

    A token that ends answers may come where the text may end, and nowhere else. Tokens that were forced on the answer
    before its text begins are none of the grammar's.

    Args:
        ends: tokens that end the answer.
        num_forced: tokens before its text.
        accepted: tokens of the text so far.
    """

    def __init__(
        self, compiled: CompiledGrammar, ends: Iterable[int], num_forced: int = 0, accepted: Iterable[int] = ()
    ) -> None:
        self._compiled = compiled
        self._ends = tuple(ends)
        self._num_forced = num_forced
        self._accepted = list(accepted)
        self._matcher = compiled.matcher()
        self._spent = _Spent()
        self._failure: InvalidRequest | None = None
        if self._accepted and not self._matcher.consume_tokens(self._accepted):
            self._fail()

    def mask(self, tokens: npt.NDArray[np.int64]) -> TokenMask | None:
        """See :class:`~attendant.core.token_rules.TokenRule`; what follows from ``tokens`` was accepted."""
        if self._num_forced:
            return None
        bits = None if self._failure is not None else self._bits()
        return TokenMask(failure=self._failure) if bits is None else TokenMask(allowed=bits)

    def accept(self, token: int) -> None:
        """See :class:`~attendant.core.token_rules.TokenRule`."""
        if self._num_forced:
            self._num_forced -= 1
        elif token not in self._ends and self._failure is None:
            self._accepted.append(token)
            if not self._matcher.consume_token(token):
                self._fail()

    def fork(self) -> GrammarRule:
        """See :class:`~attendant.core.token_rules.TokenRule`."""
        other = GrammarRule.__new__(GrammarRule)
        other._compiled, other._ends, other._num_forced = self._compiled, self._ends, self._num_forced
        other._accepted, other._spent = list(self._accepted), _Spent(self._spent.seconds, self._spent.num_masks)
        other._matcher, other._failure = self._matcher.deep_copy(), self._failure
        return other

    def is_complete(self) -> bool:
        """See :class:`~attendant.core.token_rules.TokenRule`."""
        return self._failure is None and self._matcher.is_stopped() and not self._num_forced

    def __reduce__(self) -> tuple[object, ...]:
        return GrammarRule, (self._compiled, self._ends, self._num_forced, tuple(self._accepted))

    def _bits(self) -> npt.NDArray[np.uint8] | None:
        """Which tokens may be next, a bit for each; None: nobody can say."""
        end = self._compiled.words.end
        begin_s = time.thread_time()
        bits = mask_bits(self._matcher, end + 1)
        if not self._may_take(time.thread_time() - begin_s) or self._matcher.is_error():
            self._fail()
            return None
        found = bits.view(np.uint8)
        may_end = found[end >> 3] >> (end & 7) & 1
        for token in (*self._ends, end):
            bit = 1 << (token & 7)
            if may_end and token != end:
                found[token >> 3] |= bit
            else:
                found[token >> 3] &= 255 - bit
        return found

    def _may_take(self, seconds: float) -> bool:
        spent, most_s = self._spent, self._compiled.limits.max_mask_s
        spent.seconds, spent.num_masks = spent.seconds + seconds, spent.num_masks + 1
        return seconds <= most_s and spent.seconds <= most_s * (1 + _MEAN * spent.num_masks)

    def _fail(self) -> None:
        reason = shortened(self._matcher.get_error()) if self._matcher.is_error() else ""
        self._failure = too_complex(self._compiled.grammar, reason or "to say what may follow takes too long")


def mask_bits(matcher: LLMatcher, num_tokens: int) -> npt.NDArray[np.int32]:
    """A bit for each token, the first in the lowest one: whether it may be next. Meaningless if the matcher then has an
    error."""
    bits = np.empty((num_tokens + 31) // 32, np.int32)
    matcher.unsafe_compute_mask_ptr(bits.ctypes.data, bits.nbytes)
    return bits


def too_complex(grammar: Grammar, reason: str) -> InvalidRequest:
    """A grammar that was compiled, and asks too much later."""
    return InvalidRequest(grammar.field, f"is too complex: {reason}; a simpler one, or one with less choice, is not")
