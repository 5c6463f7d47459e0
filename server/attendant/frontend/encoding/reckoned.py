"""How large the rows of a call will be at least, before a text of it is tokenised."""

from __future__ import annotations

from typing import Any, NamedTuple

from attendant.frontend.encoding.calls import (
    ClassifyCall,
    ClassifyTokensCall,
    EmbedCall,
    EmbedSparseCall,
    FillMaskCall,
    LogitsCall,
    RerankCall,
    TextItem,
)


class Reckoned(NamedTuple):
    """How many rows a call makes, and how many characters and given tokens they have; 0 of a call of which that is not
    known."""

    num_rows: int = 0
    num_characters: int = 0
    num_ids: int = 0


def reckoned(call: Any) -> Reckoned:
    """What is known of a call on a model that encodes. One that may be cut tells nothing, nor do files."""
    if getattr(call, "truncate", True):
        return Reckoned()
    match call:
        case EmbedCall() | EmbedSparseCall() | ClassifyCall() | LogitsCall():
            characters = sum([len(item.text) + len(item.pair) for item in call.inputs])
            return Reckoned(len(call.inputs), characters, sum(map(_num_ids, call.inputs)))
        case ClassifyTokensCall() | FillMaskCall():
            return Reckoned(len(call.texts), sum(map(len, call.texts)))
        case RerankCall():
            num_rows = len(call.documents)
            return Reckoned(num_rows, sum(map(len, call.documents)) + num_rows * len(call.query))
    return Reckoned()


def _num_ids(item: TextItem) -> int:
    return 0 if item.token_ids is None else len(item.token_ids)


class Density:
    """Tokens for each character, as the latest calls had them: what a text has at least."""

    SHARE, ROOM = 0.1, 0.75
    """How much the latest call counts, and of the mean how much is sure."""

    def __init__(self) -> None:
        self._mean = 0.0

    def learn(self, call: Reckoned, num_tokens: int) -> None:
        """A call made so many tokens."""
        if call.num_characters:
            found = max(num_tokens - call.num_ids, 0) / call.num_characters
            self._mean += (self.SHARE if self._mean else 1.0) * (found - self._mean)

    def least(self, call: Reckoned) -> int:
        """Tokens that a call will have, at least; 0 while nothing is known."""
        return int(self.ROOM * self._mean * call.num_characters) + call.num_ids
