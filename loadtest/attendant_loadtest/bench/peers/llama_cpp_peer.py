"""llama.cpp as a peer, in an environment of its own: ``python llama_cpp_peer.py COMMAND ...``. Imports nothing of ours.

``convert FOLDER MODEL PRECISION``: a Llama model in the Hugging Face format to GGUF. ``generate MODEL THREADS POSITIONS
SEQUENCES`` speaks as ``decoders.py`` does, with a cache for so many sequences of so many positions; of one prompt alone
it says ``first_token_ms``, too. ``logits MODEL THREADS`` speaks as ``logits.py`` does.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llama_cpp as llama
import numpy as np

_BATCH = 2048  # tokens of a run
_TYPES = {
    "q8_0": llama.LLAMA_FTYPE_MOSTLY_Q8_0,
    "q4_0": llama.LLAMA_FTYPE_MOSTLY_Q4_0,
    "q4_K_M": llama.LLAMA_FTYPE_MOSTLY_Q4_K_M,
}


class Model:
    """A model with a cache for sequences that run together."""

    def __init__(self, path: str, threads: int, positions: int, sequences: int) -> None:
        llama.llama_backend_init()
        self._model = llama.llama_model_load_from_file(path.encode(), llama.llama_model_default_params())
        settings = llama.llama_context_default_params()
        settings.n_ctx = positions * sequences
        settings.n_batch = _BATCH
        settings.n_seq_max = sequences
        settings.n_threads = settings.n_threads_batch = threads
        self._context = llama.llama_init_from_model(self._model, settings)
        self._vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self._model))
        self._batch = llama.llama_batch_init(_BATCH, 0, 1)

    def generate(self, prompts: list[list[int]], new_tokens: int) -> float:
        """Greedy answers of a batch; returns when (``time.perf_counter``) all had their first token."""
        self._forget()
        tokens: list[int] = []
        at_once = max(1, min(16, _BATCH // max(map(len, prompts))))
        for first in range(0, len(prompts), at_once):
            rows = [(row, 0, prompts[row]) for row in range(first, min(first + at_once, len(prompts)))]
            if at_once == 1:
                sequence, _, prompt = rows[0]
                for start in range(0, len(prompt), _BATCH):
                    last = self._run([(sequence, start, prompt[start : start + _BATCH])])
                tokens += last
            else:
                tokens += self._run(rows)
        first_at = time.perf_counter()
        for step in range(new_tokens - 1):
            tokens = self._run([(row, len(prompts[row]) + step, [token]) for row, token in enumerate(tokens)])
        return first_at

    def logits(self, tokens: list[int]) -> Any:
        """Those [tokens, vocabulary] of a text by itself."""
        self._forget()
        self._fill([(0, 0, tokens)], every=True)
        return np.stack([self._logits(place) for place in range(len(tokens))])

    def _forget(self) -> None:
        llama.llama_memory_clear(llama.llama_get_memory(self._context), True)

    def _run(self, rows: list[tuple[int, int, list[int]]]) -> list[int]:
        """Computes (sequence, first position, tokens); returns the next token of each."""
        return [int(self._logits(place).argmax()) for place in self._fill(rows)]

    def _fill(self, rows: list[tuple[int, int, list[int]]], *, every: bool = False) -> list[int]:
        """Computes (sequence, first position, tokens); returns where each row's last token was in the batch.

        Args:
            every: all tokens' logits are wanted, not the last ones' only.
        """
        batch, count, last = self._batch, 0, []
        for sequence, start, tokens in rows:
            for offset, token in enumerate(tokens):
                batch.token[count], batch.pos[count] = token, start + offset
                batch.n_seq_id[count], batch.seq_id[count][0] = 1, sequence
                batch.logits[count] = every or offset == len(tokens) - 1
                count += 1
            last.append(count - 1)
        batch.n_tokens = count
        if llama.llama_decode(self._context, batch):
            raise RuntimeError("llama_decode failed")
        return last

    def _logits(self, place: int) -> Any:
        return np.ctypeslib.as_array(llama.llama_get_logits_ith(self._context, place), shape=(self._vocabulary,))


def convert(folder: str, out: str, precision: str) -> None:
    """Writes a GGUF file."""
    import gguf
    from safetensors.numpy import load_file

    config = json.loads((Path(folder) / "config.json").read_text())
    if config["model_type"] != "llama":
        raise SystemExit(f"model type {config['model_type']!r}; this converter knows 'llama' only")
    weights = load_file(Path(folder) / "model.safetensors")
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    wide = Path(out).with_suffix(".f32.gguf")
    writer = gguf.GGUFWriter(str(wide), "llama")
    _describe(writer, config)
    names = {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    for name, array in weights.items():
        if name.startswith("model.layers."):
            _, _, layer, *module, _ = name.split(".")
            short = names[".".join(module)]
            rotated = {"attn_q": heads, "attn_k": kv_heads}.get(short)
            writer.add_tensor(f"blk.{layer}.{short}.weight", _interleaved(array, rotated) if rotated else array)
        elif name != "lm_head.weight" or not config.get("tie_word_embeddings"):
            known = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
            writer.add_tensor(f"{known[name.removesuffix('.weight')]}.weight", array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    settings = llama.llama_model_quantize_default_params()
    settings.ftype = _TYPES[precision]
    if llama.llama_model_quantize(str(wide).encode(), out.encode(), ctypes.byref(settings)):
        raise RuntimeError("llama_model_quantize failed")
    wide.unlink()


def _describe(writer: Any, config: dict[str, Any]) -> None:
    heads = config["num_attention_heads"]
    head_size = config.get("head_dim") or config["hidden_size"] // heads
    theta = (config.get("rope_parameters") or config).get("rope_theta", 10000.0)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(head_size)
    writer.add_value_length(head_size)
    writer.add_rope_dimension_count(head_size)
    writer.add_rope_freq_base(theta)
    writer.add_layer_norm_rms_eps(config.get("rms_norm_eps", 1e-6))
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("no_vocab")


def _interleaved(weight: Any, heads: int) -> Any:
    """llama.cpp rotates neighbouring channels, transformers those half a head apart."""
    rows, columns = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, columns)
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows, columns))


def generate(path: str, threads: str, positions: str, sequences: str) -> None:
    """Answer workloads until standard input ends."""
    model = Model(path, int(threads), int(positions), int(sequences))
    for line in sys.stdin:
        workload = json.loads(line)
        prompts, size, new_tokens = workload["prompts"], workload["batch"], workload["new_tokens"]
        started, first_at = time.perf_counter(), 0.0
        for first in range(0, len(prompts), size):
            first_at = model.generate(prompts[first : first + size], new_tokens)
        found = {"wall_s": time.perf_counter() - started, "generated": len(prompts) * new_tokens}
        if len(prompts) == 1:
            found["first_token_ms"] = [(first_at - started) * 1e3]
        print(json.dumps(found), flush=True)


def logits(path: str, threads: str) -> None:
    """Answer texts until standard input ends."""
    model = Model(path, int(threads), _BATCH, 1)
    for line in sys.stdin:
        asked = json.loads(line)
        found = model.logits(asked["tokens"])
        np.save(asked["out"], found)
        print(json.dumps({"shape": found.shape}), flush=True)


if __name__ == "__main__":
    commands: dict[str, Callable[..., None]] = {"convert": convert, "generate": generate, "logits": logits}
    commands[sys.argv[1]](*sys.argv[2:])
