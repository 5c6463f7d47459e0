"""Heads over whole rows that read the vector of the row's last end token: BART's, T5's and their children's.

transformers picks those tokens out of all rows at once, so all rows have to have as many of them. Here each row is read
by itself, which gives the same for a row alone.
"""

from __future__ import annotations

from typing import Any

import torch

_CLASSES = ("Bart", "MBart", "MvpFor", "PLBart", "BigBirdPegasus", "T5", "MT5", "UMT5")


def end_token(model: Any) -> int | None:
    """The token whose vector the head of ``model`` reads; None where it reads something else."""
    name = type(model).__name__
    reads = name.endswith("ForSequenceClassification") and name.startswith(_CLASSES)
    found = model.config.eos_token_id if reads else None
    return found if isinstance(found, int) else None


def end_logits(model: Any, end: int, keywords: dict[str, torch.Tensor]) -> torch.Tensor:
    """[rows, labels]: what the head of ``model`` says of padded rows, each of which has an ``end`` token.

    Args:
        keywords: of the model's forward, ``input_ids`` [rows, length] among them.
    """
    ids = keywords["input_ids"]
    if hasattr(model, "transformer"):  # T5's leave it to the head to shift the tokens for the decoder
        hidden = model.transformer(**keywords, decoder_input_ids=model._shift_right(ids))[0]
    else:
        hidden = model.model(**keywords)[0]
    places = torch.arange(1, ids.shape[1] + 1)[None] * (ids == end)  # [rows, length], 0 where there is none
    index = places.argmax(dim=-1)[:, None, None].expand(-1, 1, hidden.shape[-1])
    logits: torch.Tensor = model.classification_head(hidden.gather(1, index)[:, 0])
    return logits
