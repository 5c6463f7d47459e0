"""A tokenizer for models with random weights."""

from __future__ import annotations

import itertools
from typing import Any

SPECIAL = ("<pad>", "<begin>", "<end>")


def tokenizer(vocabulary: int) -> Any:
    """A ``tokenizers.Tokenizer``: byte-level, so that every text has tokens, and filled up with made-up words, so that
    every id has a text. Ids 0, 1 and 2 are padding, begin and end."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    syllables = ["".join(pair) for pair in itertools.product("bcdfghjklmnprstvwz", "aeiou")]
    words = ("Ġ" + "".join(parts) for parts in itertools.product(syllables, repeat=3))
    tokens = itertools.islice(itertools.chain(SPECIAL, alphabet, words), vocabulary)
    made = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(list(SPECIAL))
    return made
