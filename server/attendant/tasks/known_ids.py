"""Whether a model knows the tokens that it is to read: a tokenizer may have more of them than the model has rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from attendant.core.errors import InvalidRequest

Ids = Sequence[int] | npt.NDArray[np.int64]


def check_known(tokenizer: Tokenizer, token_ids: Ids, vocab_size: int, field: str) -> None:
    """Raises InvalidRequest, which names ``field``, for an id that is not one of 0 to ``vocab_size`` - 1.

    Ids that callers give may be any; a text has such ones where the tokenizer was given tokens that the model was not.
    """
    at = first_unknown(token_ids, vocab_size)
    if at is not None:
        named = spelt(tokenizer, int(token_ids[at]))
        raise InvalidRequest(field, f"has {named} at position {at}; allowed: 0 to {vocab_size - 1}")


def first_unknown(token_ids: Ids, vocab_size: int) -> int | None:
    """The place of the first id that is not one of 0 to ``vocab_size`` - 1."""
    ids = np.asarray(token_ids, np.int64)
    unknown = np.flatnonzero((ids < 0) | (ids >= vocab_size))
    return int(unknown[0]) if len(unknown) else None


def spelt(tokenizer: Tokenizer, token_id: int) -> str:
    """An id that a model does not know, and what the tokenizer calls it."""
    spelling = tokenizer.id_to_token(token_id) if 0 <= token_id < 2**32 else None
    return str(token_id) if spelling is None else f"{token_id} ({spelling!r}), which the model does not know,"
