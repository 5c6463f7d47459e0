"""Which models the kit has, and how much of everything it measures: in full, or in a dry run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

DTYPES = ("fp16", "bf16")
"""Of each small model; the Llamas are in bf16."""


@dataclass(frozen=True, slots=True)
class LlamaShape:
    """Sizes of a Llama."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    intermediate: int
    vocabulary: int
    context: int
    tied: bool

    def config(self) -> dict[str, Any]:
        """Fields of transformers' LlamaConfig, of any version."""
        return {
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_size,
            "intermediate_size": self.intermediate,
            "vocab_size": self.vocabulary,
            "max_position_embeddings": self.context,
            "tie_word_embeddings": self.tied,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
        }


MODELS = {
    "1b": LlamaShape(2048, 16, 32, 8, 64, 8192, 128256, 4096, tied=True),
    "8b": LlamaShape(4096, 32, 32, 8, 128, 14336, 128256, 4096, tied=False),
}
DRY_MODELS = {
    "1b": LlamaShape(64, 4, 4, 2, 16, 128, 512, 256, tied=True),
    "8b": LlamaShape(64, 5, 4, 2, 32, 128, 512, 256, tied=False),
}

VOCABULARY = 272  # of the small models below: every byte and the special tokens
CONTEXT = 1024  # several of the largest blocks
WINDOW = 40

_HEADS = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": CONTEXT,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_BASE = {**_HEADS, "num_key_value_heads": 2}
_WINDOWED = {**_BASE, "sliding_window": WINDOW}
_ROUTED = {
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "moe_intermediate_size": 32,
}
_LATENT = {
    "num_key_value_heads": 4,
    "kv_lora_rank": 16,
    "q_lora_rank": 32,
    "qk_rope_head_dim": 16,
    "qk_nope_head_dim": 16,
    "v_head_dim": 16,
}

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": _BASE,
    "llama/head64": {**_BASE, "head_dim": 64},
    "llama/head128": {**_BASE, "head_dim": 128},
    "mistral": _WINDOWED,
    "gemma2": {**_WINDOWED, "head_dim": 32},
    "gpt_oss": {**_WINDOWED, "head_dim": 16, "num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen3": {**_BASE, "head_dim": 32},
    "phi3": _WINDOWED,
    "gpt_neox": _HEADS,
    "bloom": {"hidden_size": 64, "n_layer": 2, "n_head": 4, "vocab_size": VOCABULARY},
    "deepseek_v3": {**_HEADS, **_ROUTED, **_LATENT},
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": VOCABULARY, "n_positions": CONTEXT},
}
"""Fields of their configurations; a name after "/" tells variants of one model type apart. Their attention differs:
windows, soft caps, sinks, ALiBi, partial rotation, latent heads, heads of 16, 32, 64 and 128 channels.

Falcon's ALiBi is not among them: transformers rounds it to bfloat16 in every type, which shows beyond 256 positions.
"""

DRY_SMALL = (("llama/head128", "fp16"), ("gemma2", "bf16"))
"""Small models of a dry run, and their types."""

ROUTED = ("gpt_oss", "deepseek_v3")
"""Rounding may send a token of these to other experts; then its logits are far off, and nothing is wrong."""

ISOLATED = "llama/head128"
"""Of the isolation check."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured. Lengths are in tokens.

    Attributes:
        context: most of a sequence of a small model, on the engine.
        parity: prompts of the parity check, each as many tokens that it shares with others and tokens of its own.
        parity_tokens: that follow each of them. parity_seqs: sequences that run together.
        requests: of the isolation check, of which ``isolated_seqs`` run together over ``isolated_blocks`` blocks of
            memory, few enough for preemption; ``shared`` and ``own`` are the most tokens of a prompt, ``answer`` of
            its answer.
        models: Llamas whose speed is measured. served: the one behind the real server.
        batches: of decode; each sequence has a prompt of ``prompt``, and ``decode_steps`` steps are measured.
        prefills: prompts whose prefill is timed, ``repeats`` times each.
        speed_context: most of a sequence there.
        copy_bytes: of the device copy that measures the memory's bandwidth.
        streams: at the real server, each of ``stream_prompt`` to ``stream_tokens`` new ones, ``stream_waves`` times in
            a measurement, which is repeated for ``minutes`` unless the command line says otherwise.
        threads: of a run on a processor; None for all.
    """

    context: int = 1024
    parity: tuple[tuple[int, int], ...] = ((0, 5), (0, 77), (300, 10), (300, 230), (300, 41), (0, 40))
    parity_tokens: int = 16
    parity_seqs: int = 4
    requests: int = 500
    isolated_seqs: int = 32
    isolated_blocks: int = 49
    shared: int = 300
    own: int = 200
    answer: int = 32
    models: tuple[str, ...] = ("1b", "8b")
    served: str = "8b"
    batches: tuple[int, ...] = (1, 8, 32, 64, 128, 256)
    prompt: int = 512
    decode_steps: int = 64
    prefills: tuple[int, ...] = (512, 2048)
    repeats: int = 5
    speed_context: int = 2304
    copy_bytes: int = 2 << 30
    streams: int = 64
    stream_prompt: int = 448
    stream_tokens: int = 128
    stream_waves: int = 4
    minutes: float = 10.0
    threads: int | None = None


FULL = Sizes()
DRY = Sizes(
    context=256,
    parity=((0, 5), (40, 10), (40, 23), (0, 30)),
    parity_tokens=6,
    requests=24,
    isolated_seqs=4,
    isolated_blocks=9,
    shared=40,
    own=30,
    answer=24,
    batches=(1, 3),
    prompt=24,
    decode_steps=6,
    prefills=(16, 40),
    repeats=2,
    speed_context=128,
    copy_bytes=16 << 20,
    streams=3,
    stream_prompt=16,
    stream_tokens=8,
    stream_waves=2,
    minutes=0.03,
    threads=1,
)
