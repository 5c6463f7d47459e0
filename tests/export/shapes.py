"""The sizes that tiny models of tests have in common."""

from __future__ import annotations

from typing import Any

VOCAB = 512
WINDOW = 8  # of sliding-window models: far below the lengths of the test
CONTEXT = 128

HEADS: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "vocab_size": VOCAB,
    "max_position_embeddings": CONTEXT,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
