"""Which tokens of a tokenizer the model has no row for: they cannot be served, and the export says so."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer

from attendant_export.errors import TokenizerError

_MOST_NAMED = 8


def known_rows(model: Any) -> int | None:
    """Ids, from 0 on, that the model takes: rows of its table of tokens. None where it has no such table."""
    try:
        weight = getattr(model.get_input_embeddings(), "weight", None)
    except NotImplementedError:  # of models that hash their characters, for one
        return None
    return int(weight.shape[0]) if weight is not None and weight.ndim == 2 else None


def prompt_ids(model: Any) -> int | None:
    """Ids, from 0 on, that a prompt of a causal language model may have: those that it also has logits for."""
    rows = known_rows(model)
    head = getattr(model.get_output_embeddings(), "weight", None)
    return rows if rows is None or head is None else min(rows, int(head.shape[0]))


def unknown_tokens(tokenizer_json: str | None, num_rows: int | None) -> list[str]:
    """Warnings, if the tokenizer can make ids of a text that a model of so many rows does not know.

    Raises:
        TokenizerError: it makes one of every text.
    """
    if tokenizer_json is None or num_rows is None:
        return []
    tokenizer = Tokenizer.from_str(tokenizer_json)
    unknown = {i: token for token, i in tokenizer.get_vocab(with_added_tokens=True).items() if i >= num_rows}
    if not unknown:
        return []
    for encoding in (tokenizer.encode(""), tokenizer.encode("", "")):
        always = next((i for i in encoding.ids if i in unknown), None)
        if always is not None:
            raise TokenizerError(
                f"the tokenizer puts {unknown[always]!r} ({always}) around every text, and the model has rows for the "
                f"ids 0 to {num_rows - 1} only"
            )
    named = ", ".join(f"{token!r} ({i})" for i, token in sorted(unknown.items())[:_MOST_NAMED])
    more = f" and {len(unknown) - _MOST_NAMED} more" if len(unknown) > _MOST_NAMED else ""
    return [
        f"warning: the tokenizer has tokens that the model, with rows for the ids 0 to {num_rows - 1}, does not know: "
        f"{named}{more}; requests whose text holds them are refused"
    ]
