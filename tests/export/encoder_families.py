"""Tiny random models of every family of text encoders, with every head that the family has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

VOCAB_SIZE, POSITIONS, LABELS = 300, 130, 3

_BERT = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "vocab_size": VOCAB_SIZE,
    "max_position_embeddings": POSITIONS,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
_WIDE_VOCABULARY = {**_BERT, "embedding_size": 32}
_ROBERTA = {**_BERT, "max_position_embeddings": POSITIONS + 2, "type_vocab_size": 1}
_DEBERTA = {
    **_BERT,
    "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_buckets": 16,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "type_vocab_size": 0,
    "position_biased_input": False,
}
_T5 = {
    "d_model": 64,
    "d_kv": 16,
    "d_ff": 128,
    "num_layers": 2,
    "num_heads": 4,
    "vocab_size": VOCAB_SIZE,
    "feed_forward_proj": "gated-gelu",
}
_DISTILBERT = {
    "dim": 64,
    "n_layers": 2,
    "n_heads": 4,
    "hidden_dim": 128,
    "vocab_size": VOCAB_SIZE,
    "max_position_embeddings": POSITIONS,
    "pad_token_id": 1,
}
_MODERN = {**_BERT, "local_attention": 8, "global_attn_every_n_layers": 2, "cls_token_id": 0, "sep_token_id": 2}
_XLM = {
    "emb_dim": 64,
    "n_layers": 2,
    "n_heads": 4,
    "vocab_size": VOCAB_SIZE,
    "n_words": VOCAB_SIZE,
    "max_position_embeddings": POSITIONS,
    "pad_index": 1,
}

ALL_HEADS = ("embed", "classify", "classify_tokens", "answer", "fill_mask")


@dataclass(frozen=True)
class Family:
    """One family: prefix of its classes in transformers, its config, and which of the heads it has.

    ``bare``: the class for ``embed``, where it is not the prefix and Model.
    """

    prefix: str
    config_class: str
    config: dict[str, Any]
    heads: tuple[str, ...] = ALL_HEADS
    bare: str | None = None
    layout: str = "packed"

    def class_name(self, head: str) -> str:
        """Of the model for ``head``."""
        suffixes = {
            "classify": "ForSequenceClassification",
            "classify_tokens": "ForTokenClassification",
            "answer": "ForQuestionAnswering",
            "fill_mask": "ForMaskedLM",
        }
        if head == "embed":
            return self.bare or f"{self.prefix}Model"
        return self.prefix + suffixes[head]


def _family(prefix: str, config: dict[str, Any], *heads: str, config_class: str = "", **more: Any) -> Family:
    return Family(prefix, config_class or f"{prefix}Config", config, heads or ALL_HEADS, **more)


FAMILIES: dict[str, Family] = {
    "albert": _family("Albert", _WIDE_VOCABULARY),
    "bert": _family("Bert", _BERT),
    "camembert": _family("Camembert", _ROBERTA),
    "clip_text": _family("CLIPText", _BERT, "embed", bare="CLIPTextModelWithProjection", config_class="CLIPTextConfig"),
    "data2vec_text": _family("Data2VecText", _ROBERTA),
    "deberta": _family("Deberta", _DEBERTA, "embed", "classify", "classify_tokens", "answer", layout="padded"),
    "deberta_v2": _family("DebertaV2", _DEBERTA, layout="padded"),
    "distilbert": _family("DistilBert", _DISTILBERT),
    "electra": _family("Electra", _WIDE_VOCABULARY),
    "ernie": _family("Ernie", _BERT),
    "esm": _family(
        "Esm",
        {**_ROBERTA, "position_embedding_type": "rotary", "mask_token_id": 4, "token_dropout": False},
        *("embed", "classify", "classify_tokens", "fill_mask"),
    ),
    "eurobert": _family("EuroBert", {**_BERT, "num_key_value_heads": 2}, "embed", "classify", "classify_tokens"),
    "flaubert": _family("Flaubert", _XLM, "embed", "classify", "classify_tokens", layout="padded"),
    "megatron_bert": _family("MegatronBert", _BERT),
    "modernbert": _family("ModernBert", _MODERN),
    "modernbert_mean": _family("ModernBert", {**_MODERN, "classifier_pooling": "mean"}, "classify"),
    "mpnet": _family("MPNet", {**_ROBERTA}),
    "nomic_bert": _family("NomicBert", _BERT, "embed", "classify", "classify_tokens", "fill_mask"),
    "rembert": _family("RemBert", {**_BERT, "input_embedding_size": 32, "output_embedding_size": 48}),
    "roberta": _family("Roberta", _ROBERTA),
    "roberta_prelayernorm": _family("RobertaPreLayerNorm", _ROBERTA),
    "roformer": _family("RoFormer", _BERT, layout="padded"),
    "siglip_text": _family(
        *("SiglipText", {**_BERT, "max_position_embeddings": 64, "projection_size": 64}, "embed"), layout="padded"
    ),
    "squeezebert": _family(
        "SqueezeBert", {**_BERT, "embedding_size": 64}, "embed", "classify", "classify_tokens", layout="padded"
    ),
    "t5": _family("T5", _T5, "embed", "classify_tokens", bare="T5EncoderModel"),
    "umt5": _family("UMT5", _T5, "embed", "classify_tokens", bare="UMT5EncoderModel"),
    "xlm": _family("XLM", _XLM, "embed", "classify", "classify_tokens", layout="padded"),
    "xlm_roberta": _family("XLMRoberta", _ROBERTA),
    "xlm_roberta_xl": _family("XLMRobertaXL", _ROBERTA),
    "xmod": _family("Xmod", {**_ROBERTA, "languages": ["en_XX", "de_DE"], "default_language": "de_DE"}),
}


def make_model(name: str, head: str, **config: Any) -> Any:
    """A random model, float32, eager attention; its weights spread enough that every part of it shows in the output."""
    import torch
    import transformers

    family = FAMILIES[name]
    torch.manual_seed(0)
    labels = {"num_labels": LABELS} if head in ("classify", "classify_tokens") else {}
    settings = getattr(transformers, family.config_class)(**{**family.config, **labels, **config})
    model_class: Callable[..., Any] = getattr(transformers, family.class_name(head))
    model = model_class._from_config(settings, attn_implementation="eager").eval()  # type: ignore[attr-defined]
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model
