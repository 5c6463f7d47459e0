"""The benchmark's model: a Llama shape with random weights, exported to a bundle for each precision and kept."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

HIDDEN, LAYERS, HEADS, KV_HEADS, INTERMEDIATE, VOCABULARY, POSITIONS = 768, 12, 12, 4, 2048, 32000, 2048
SPECIAL = ("<pad>", "<begin>", "<end>")


class BundleNotMade(Exception):
    """The exporter failed; its words are on the terminal."""


def bench_bundle(folder: Path, precision: str) -> Path:
    """The bundle of a precision in ``folder``; made first if it is not there, which takes half a minute.

    Raises:
        BundleNotMade: the exporter failed.
    """
    bundle = folder / f"bench-{precision}"
    if not (bundle / "bundle.json").exists():
        source = folder / "source"
        if not (source / "config.json").exists():
            write_source(source)
        export(source, bundle, "--precision", precision)
    return bundle


def export(source: Path, bundle: Path, *arguments: str) -> None:
    """Export the model folder ``source`` to ``bundle``, named as its folder.

    Raises:
        BundleNotMade: the exporter failed.
    """
    _run(["-m", "attendant", "export", str(source), str(bundle), *arguments, "--name", bundle.name], bundle)


def make_source(source: Path, module: str, *arguments: str) -> None:
    """Have a module of the benchmark, a program of its own, write the model folder ``source`` if it is not there.

    Raises:
        BundleNotMade: it failed.
    """
    if not (source / "model.safetensors").exists():
        _run(["-m", f"attendant_loadtest.bench.{module}", *arguments, str(source)], source)


def _run(words: list[str], made: Path) -> None:
    if subprocess.run([sys.executable, *words], stdout=sys.stderr, check=False).returncode:
        raise BundleNotMade(f"the exporter could not make {made}; it needs the extra 'export'")


def write_source(folder: Path) -> None:
    """A model folder in the Hugging Face format: tokenizer, weights and, last, config.json."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(tokenizer().to_str(), encoding="utf-8")
    special = dict(zip(("pad_token", "bos_token", "eos_token"), SPECIAL, strict=True))
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": POSITIONS, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(about), encoding="utf-8")
    save_file(_weights(), folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "intermediate_size": INTERMEDIATE,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": POSITIONS,
        "tie_word_embeddings": False,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "dtype": "float32",
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def tokenizer(vocabulary: int = VOCABULARY) -> Any:
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


def _weights() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    head = HIDDEN // HEADS
    shapes = {
        "self_attn.q_proj": (HIDDEN, HIDDEN),
        "self_attn.k_proj": (KV_HEADS * head, HIDDEN),
        "self_attn.v_proj": (KV_HEADS * head, HIDDEN),
        "self_attn.o_proj": (HIDDEN, HIDDEN),
        "mlp.gate_proj": (INTERMEDIATE, HIDDEN),
        "mlp.up_proj": (INTERMEDIATE, HIDDEN),
        "mlp.down_proj": (HIDDEN, INTERMEDIATE),
    }

    def matrix(*shape: int) -> Any:
        return rng.standard_normal(shape, dtype=np.float32) * np.float32(0.02)

    weights = {"model.embed_tokens.weight": matrix(VOCABULARY, HIDDEN), "lm_head.weight": matrix(VOCABULARY, HIDDEN)}
    weights["model.norm.weight"] = np.ones(HIDDEN, np.float32)
    for layer in range(LAYERS):
        for name, shape in shapes.items():
            weights[f"model.layers.{layer}.{name}.weight"] = matrix(*shape)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            weights[f"model.layers.{layer}.{norm}.weight"] = np.ones(HIDDEN, np.float32)
    return weights
