"""llama.cpp as a peer, in an environment of its own: ``python llama_cpp_peer.py MODEL THREADS``, or, once before,
``python llama_cpp_peer.py convert FOLDER MODEL`` for a Llama model in the Hugging Face format, to q4_0.

Speaks as ``decoders.py`` does. Imports nothing of ours.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from pathlib import Path
from typing import Any

import llama_cpp as llama
import numpy as np

_CONTEXT = 256  # positions of a sequence
_SEQUENCES = 32


class Model:
    """A model with a cache for sequences that run together."""

    def __init__(self, path: str, threads: int) -> None:
        llama.llama_backend_init()
        self._model = llama.llama_model_load_from_file(path.encode(), llama.llama_model_default_params())
        settings = llama.llama_context_default_params()
        settings.n_ctx = _CONTEXT * _SEQUENCES
        settings.n_batch = 2048
        settings.n_seq_max = _SEQUENCES
        settings.n_threads = settings.n_threads_batch = threads
        self._context = llama.llama_init_from_model(self._model, settings)
        self._vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self._model))
        self._batch = llama.llama_batch_init(2048, 0, 1)

    def generate(self, prompts: list[list[int]], new_tokens: int) -> int:
        """Greedy answers of a batch; returns the tokens generated."""
        llama.llama_memory_clear(llama.llama_get_memory(self._context), True)
        tokens: list[int] = []
        for first in range(0, len(prompts), 16):
            rows = [(row, 0, prompts[row]) for row in range(first, min(first + 16, len(prompts)))]
            tokens += self._run(rows)
        for step in range(new_tokens - 1):
            tokens = self._run([(row, len(prompts[row]) + step, [token]) for row, token in enumerate(tokens)])
        return len(prompts) * new_tokens

    def _run(self, rows: list[tuple[int, int, list[int]]]) -> list[int]:
        """Computes (sequence, first position, tokens); returns the next token of each."""
        batch, count, last = self._batch, 0, []
        for sequence, start, tokens in rows:
            for offset, token in enumerate(tokens):
                batch.token[count], batch.pos[count] = token, start + offset
                batch.n_seq_id[count], batch.seq_id[count][0] = 1, sequence
                batch.logits[count] = offset == len(tokens) - 1
                count += 1
            last.append(count - 1)
        batch.n_tokens = count
        if llama.llama_decode(self._context, batch):
            raise RuntimeError("llama_decode failed")
        return [int(self._logits(place).argmax()) for place in last]

    def _logits(self, place: int) -> Any:
        return np.ctypeslib.as_array(llama.llama_get_logits_ith(self._context, place), shape=(self._vocabulary,))


def convert(folder: str, out: str) -> None:
    """Writes a GGUF file of q4_0."""
    import gguf
    from safetensors.numpy import load_file

    config = json.loads((Path(folder) / "config.json").read_text())
    weights = load_file(Path(folder) / "model.safetensors")
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    wide = Path(out).with_suffix(".f32.gguf")
    writer = gguf.GGUFWriter(str(wide), "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_dimension_count(config["hidden_size"] // heads)
    writer.add_layer_norm_rms_eps(config.get("rms_norm_eps", 1e-6))
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("no_vocab")
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
        else:
            known = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
            writer.add_tensor(f"{known[name.removesuffix('.weight')]}.weight", array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    settings = llama.llama_model_quantize_default_params()
    settings.ftype = llama.LLAMA_FTYPE_MOSTLY_Q4_0
    if llama.llama_model_quantize(str(wide).encode(), out.encode(), ctypes.byref(settings)):
        raise RuntimeError("llama_model_quantize failed")
    wide.unlink()


def _interleaved(weight: Any, heads: int) -> Any:
    """llama.cpp rotates neighbouring channels, transformers those half a head apart."""
    rows, columns = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, columns)
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows, columns))


def main(path: str, threads: str) -> None:
    """Answer workloads until standard input ends."""
    model = Model(path, int(threads))
    for line in sys.stdin:
        workload = json.loads(line)
        prompts, size = workload["prompts"], workload["batch"]
        started, generated = time.perf_counter(), 0
        for first in range(0, len(prompts), size):
            generated += model.generate(prompts[first : first + size], workload["new_tokens"])
        print(json.dumps({"wall_s": time.perf_counter() - started, "generated": generated}), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "convert":
        convert(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
