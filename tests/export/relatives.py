"""Tiny configurations of decoders whose relatives encode or translate: those of BERT, of BART and of their children."""

from __future__ import annotations

from typing import Any

from tests.export.shapes import CONTEXT, HEADS, VOCAB

_BERT = {**HEADS, "is_decoder": True}
_ROBERTA = {**_BERT, "pad_token_id": 1, "bos_token_id": 0, "max_position_embeddings": CONTEXT + 2}
_BART = {
    "forced_eos_token_id": None,
    "d_model": 64,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 128,
    "decoder_ffn_dim": 128,
    "vocab_size": VOCAB,
    "max_position_embeddings": CONTEXT,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}

RELATIVES: dict[str, dict[str, Any]] = {
    "bart": _BART,
    "bert": _BERT,
    "bert-generation": _BERT,
    "big_bird": {**_BERT, "block_size": 8, "num_random_blocks": 5},
    "bigbird_pegasus": _BART,
    "blenderbot": _BART,
    "blenderbot-small": _BART,
    "camembert": _ROBERTA,
    "data2vec-text": _ROBERTA,
    "electra": {**_BERT, "embedding_size": 32},
    "ernie": _BERT,
    "marian": {**_BART, "static_position_embeddings": True},
    "mbart": _BART,
    "megatron-bert": _BERT,
    "mvp": _BART,
    "pegasus": _BART,
    "plbart": {**_BART, "scale_embedding": True},
    "rembert": {**_BERT, "input_embedding_size": 32, "output_embedding_size": 48},
    "roberta": _ROBERTA,
    "roberta-prelayernorm": _ROBERTA,
    "roc_bert": {**_BERT, "pronunciation_vocab_size": 16, "shape_vocab_size": 16},
    "roformer": {**_BERT, "embedding_size": 32},
    "trocr": {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "decoder_ffn_dim": 128,
        "vocab_size": VOCAB,
        "max_position_embeddings": CONTEXT,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
    },
    "xlm-roberta": _ROBERTA,
    "xlm-roberta-xl": _ROBERTA,
    "xmod": {**_ROBERTA, "languages": ["en_XX", "de_DE"], "default_language": "de_DE"},
}
NIGHTLY = frozenset(RELATIVES) - {"bart", "big_bird", "rembert", "roberta", "roformer", "trocr", "xmod"}
"""Those that others stand for in `make test`."""
