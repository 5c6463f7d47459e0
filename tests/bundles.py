"""Tiny bundles for tests: a random Llama with a byte-level BPE tokenizer, exported in a few seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.shared import copy_of

EOS, BOS, PAD = "<|end|>", "<|begin|>", "<|pad|>"
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message.role }}|>{{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
_CORPUS = (
    "Hello, where is my order? Your order is on its way.",
    "I would like a refund, please. Of course, the refund is under way.",
    "The quick brown fox jumps over the lazy dog, and the dog does not mind at all.",
)


def make_tokenizer() -> Any:
    """A byte-level BPE `tokenizers.Tokenizer` of about 300 entries that can write any text; ids 0-2: PAD, BOS, EOS."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=[PAD, BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    return tokenizer


def make_llama(*, rounded: bool = False, **overrides: Any) -> Any:
    """A random Llama in float32 with eager attention; the same weights for the same arguments.

    ``overrides`` are fields of LlamaConfig. By default 2 layers, hidden 64, 4 heads over 2 KV heads, 256 positions.
    ``rounded``: the weights are what bfloat16 holds, so that bundles of both types have the same.
    """
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    fields = {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 128,
        "max_position_embeddings": 256,
        "vocab_size": make_tokenizer().get_vocab_size(),
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "initializer_range": 0.2,  # spreads the logits, so that greedy tokens differ from position to position
        **overrides,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = LlamaConfig(**fields)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager").eval()
    if rounded:
        for parameter in model.parameters():
            parameter.data = parameter.data.bfloat16().float()
    return model


def make_llama_source(folder: Path, **overrides: Any) -> Path:
    """Saves :func:`make_llama` with its tokenizer as a model folder in the Hugging Face format."""
    make_llama(**overrides).save_pretrained(folder)
    make_tokenizer().save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": PAD,
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def make_llama_bundle(out: Path, precision: str, **overrides: Any) -> Path:
    """Exports :func:`make_llama` to a bundle at ``out`` and returns it; takes some five seconds.

    Args:
        precision: fp32, int8 or int4.
        overrides: arguments of :func:`make_llama`, e.g. ``max_position_embeddings=64``.
    """
    from attendant_export.recipe import Recipe

    return _export(out, Recipe(precision=precision), overrides)  # type: ignore[arg-type]


def make_paged_bundle(out: Path, precision: str = "bf16", kv_cache: str = "model", **overrides: Any) -> Path:
    """The same for NVIDIA GPUs, at :func:`cuda_bundle`, and at ``out``, which is returned, its copy for a CPU.

    Args:
        precision: bf16, fp16 or int4. kv_cache: model, int8 or fp8.
    """
    from attendant_export.paged.bundle import reference_bundle
    from attendant_export.recipe import Recipe

    recipe = Recipe("cuda", precision, kv_cache)  # type: ignore[arg-type]
    plain = _export(cuda_bundle(out), recipe, overrides)
    return copy_of(f"copy of {_name(recipe, overrides)}", lambda folder: reference_bundle(plain, folder), out)


def cuda_bundle(out: Path) -> Path:
    """Where :func:`make_paged_bundle` leaves the bundle that ``out`` is a copy of."""
    return out.with_name(f"{out.name}-cuda")


def _export(out: Path, recipe: Any, overrides: dict[str, Any]) -> Path:
    """A copy of what the run has exported once."""
    from attendant_export.export import export_model

    def make(folder: Path) -> None:
        export_model(
            make_llama(**overrides),
            make_tokenizer().to_str(),
            folder,
            recipe=recipe,
            name="tiny-llama",
            chat_template=CHAT_TEMPLATE,
        )

    return copy_of(_name(recipe, overrides), make, out)


def _name(recipe: Any, overrides: dict[str, Any]) -> str:
    return f"tiny-llama {recipe} {sorted(overrides.items())}"
