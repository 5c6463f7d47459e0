"""Tokens that the tokenizer has and the model has not: refused by name, wherever a row is made of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attendant.bundle import TextInput
from attendant.core.errors import InvalidRequest
from attendant.tasks.frames import TokenRow
from attendant.tasks.text import TextTokenizer, Tokens
from attendant.tasks.token_rows import RowMaker
from tokenizers import AddedToken, Tokenizer, processors

from tests.tasks.tokenizers_of_kinds import word_piece


def with_strange(tokenizer: Tokenizer) -> tuple[Tokenizer, int]:
    """One more token, and how many there were."""
    size = tokenizer.get_vocab_size()
    tokenizer.add_special_tokens([AddedToken("<image>", special=True)])
    return tokenizer, size


Make = Callable[[RowMaker, Callable[[str], Tokens]], object]

ROWS: list[Make] = [
    lambda maker, tokens: maker.single(tokens("the <image>"), truncate=False, field="inputs[0]"),
    lambda maker, tokens: maker.pair(tokens("the"), tokens("<image>"), truncate=False, field="inputs[0]"),
    lambda maker, tokens: maker.windows(tokens("the <image>"), 1, "inputs[0]"),
    lambda maker, tokens: maker.pair_windows(tokens("the"), tokens("<image>"), 1, "inputs[0]"),
    lambda maker, tokens: maker.given(tokens("<image>").ids.tolist(), truncate=False, field="inputs[0]"),
]


@pytest.mark.parametrize("make", ROWS, ids=["single", "pair", "windows", "pair windows", "given"])
def test_a_token_without_a_row_is_refused_by_name(make: Make) -> None:
    tokenizer, size = with_strange(word_piece())
    texts = TextTokenizer(tokenizer)

    def tokens(text: str) -> Tokens:
        return texts.tokenize([text], 50, spans=True)[0]

    maker = RowMaker(tokenizer, TextInput(max_tokens=20, vocab_size=size), with_types=True)
    with pytest.raises(InvalidRequest, match=rf"inputs\[0\] has {size} \('<image>'\).*allowed: 0 to {size - 1}$"):
        make(maker, tokens)
    wider = RowMaker(tokenizer, TextInput(max_tokens=20, vocab_size=size + 1), with_types=True)
    made = make(wider, tokens)
    assert isinstance(made[0] if isinstance(made, list) else made, TokenRow)


def test_no_model_is_served_whose_every_row_has_a_token_that_it_does_not_know() -> None:
    tokenizer, size = with_strange(word_piece())
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<image> $A", pair="<image> $A $B", special_tokens=[("<image>", size)]
    )
    with pytest.raises(ValueError, match="'<image>'"):
        RowMaker(tokenizer, TextInput(max_tokens=20, vocab_size=size), with_types=True)
