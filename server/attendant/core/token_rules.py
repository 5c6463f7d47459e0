"""What may follow a sequence: rules that say it token by token, and the masks that they say it with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from attendant.core.errors import AttendantError

Bits = npt.NDArray[np.uint8]


class TokenMask(NamedTuple):
    """Which tokens may be next: those that nothing here rules out.

    Attributes:
        forbidden: ids that may not be next.
        spans: pairs (first, end) of ids: none from first to before end may be next.
        allowed: [n] uint8, a bit for each id, that of id 0 the lowest of the first: only those whose bit is 1 may be
            next, and none from 8 n on; None: any. ``numpy.packbits(flags, bitorder="little")`` makes it of flags, which
            take ten times as long to apply to a large vocabulary.
        forced: if there are any, the most probable of these is next, whatever the rest says and without chance.
        preferred: if all tokens from this id on are together more probable than any token before it, of those that are
            left, only they may be next.
        failure: a rule cannot say what may follow any more: the request ends with this error.
    """

    forbidden: tuple[int, ...] = ()
    spans: tuple[tuple[int, int], ...] = ()
    allowed: Bits | None = None
    forced: tuple[int, ...] = ()
    preferred: int | None = None
    failure: AttendantError | None = None


class TokenRule(Protocol):
    """What may follow, as one rule sees it: the state of one sequence."""

    def mask(self, tokens: npt.NDArray[np.int64]) -> TokenMask | None:
        """What may follow ``tokens`` [n], the prompt and all tokens that have been accepted; None: anything."""
        ...

    def accept(self, token: int) -> None:
        """``token`` has been generated; called once for each token of the answer, also one that ends it."""
        ...

    def fork(self) -> TokenRule:
        """A rule for another sequence, which has the same tokens so far: what one accepts, the other does not see."""
        ...

    def is_complete(self) -> bool:
        """Whether what has been accepted is whole and nothing may follow it: the sequence ends, without a token that
        says so."""
        ...


class LateMask:
    """What may follow a sequence, found when it is asked for first: it is needed when a token is chosen, and may be
    found while a device runs what the choice is made of. To be asked before the rules accept another token."""

    __slots__ = ("_found", "_mask", "_rules", "_tokens")

    def __init__(self, rules: Sequence[TokenRule], tokens: npt.NDArray[np.int64]) -> None:
        self._rules, self._tokens = rules, tokens
        self._mask: TokenMask | None = None
        self._found = False

    def now(self) -> TokenMask | None:
        """The mask; None: anything may follow."""
        if not self._found:
            self._mask, self._found = joined_mask(self._rules, self._tokens), True
        return self._mask


def joined_mask(rules: Sequence[TokenRule], tokens: npt.NDArray[np.int64]) -> TokenMask | None:
    """What may follow ``tokens`` [n] by all of the rules. Of what several force, the first counts."""
    masks = [mask for rule in rules if (mask := rule.mask(tokens)) is not None]
    if len(masks) < 2:
        return masks[0] if masks else None
    forced: tuple[int, ...] = ()
    allowed: Bits | None = None
    preferred: int | None = None
    failure: AttendantError | None = None
    for mask in masks:
        forced = forced or mask.forced
        failure = failure or mask.failure
        preferred = mask.preferred if preferred is None else preferred
        if mask.allowed is not None:
            allowed = mask.allowed if allowed is None else _both(allowed, mask.allowed)
    forbidden = tuple([token for mask in masks for token in mask.forbidden])
    spans = tuple([span for mask in masks for span in mask.spans])
    return TokenMask(forbidden, spans, allowed, forced, preferred, failure)


def _both(one: Bits, other: Bits) -> Bits:
    length = min(len(one), len(other))
    return one[:length] & other[:length]
