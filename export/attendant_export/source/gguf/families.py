"""The architectures that are read: what llama.cpp calls their tensors, and what it did to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Number = TypeVar("Number", bound=np.generic)

_ENDS = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_HEAD_NORMS = {"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
_FOUR_NORMS = {
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
_PHI3 = {"attn_qkv": "self_attn.qkv_proj", "ffn_up": "mlp.gate_up_proj"}
_GPT2_ENDS = {
    "token_embd": "transformer.wte",
    "position_embd": "transformer.wpe",
    "output_norm": "transformer.ln_f",
    "output": "lm_head",
}
_GPT2_LAYER = {
    "attn_norm": "ln_1",
    "attn_qkv": "attn.c_attn",
    "attn_output": "attn.c_proj",
    "ffn_norm": "ln_2",
    "ffn_up": "mlp.c_fc",
    "ffn_down": "mlp.c_proj",
}


@dataclass(frozen=True)
class Family:
    """An architecture of llama.cpp.

    Attributes:
        model_type: what transformers calls it.
        ends, layer: names of tensors without ".weight" or ".bias", by llama.cpp's, outside of and in a layer.
        layers: what stands before the names of a layer.
        permutes: whether rows of queries and keys, which rotate in pairs, lie in pairs side by side.
        norm_offset: what was added to the weights of norms.
        transposed: tensors that transformers has as [inputs, outputs].
    """

    model_type: str
    ends: Mapping[str, str] = field(default_factory=lambda: _ENDS)
    layer: Mapping[str, str] = field(default_factory=lambda: _LAYER)
    layers: str = "model.layers"
    permutes: bool = False
    norm_offset: float = 0.0
    transposed: tuple[str, ...] = ()

    def name(self, tensor: str) -> str | None:
        """transformers' name of ``tensor``, "blk.0.attn_q.weight" for example; None of one that it has not."""
        stem, _, kind = tensor.rpartition(".")
        if kind not in ("weight", "bias"):
            return None
        if not stem.startswith("blk."):
            return f"{self.ends[stem]}.{kind}" if stem in self.ends else None
        _, number, *rest = stem.split(".")
        part = self.layer.get(".".join(rest))
        return f"{self.layers}.{number}.{part}.{kind}" if part is not None and number.isdecimal() else None

    def part(self, tensor: str) -> str:
        """Of "blk.0.attn_q.weight" "attn_q", of "output.weight" "output"."""
        return tensor.rsplit(".", 2)[-2]

    def turns(self, tensor: str) -> bool:
        """Whether rows of ``tensor`` lie in pairs."""
        return self.permutes and self.part(tensor) in ("attn_q", "attn_k")

    def is_transposed(self, tensor: str) -> bool:
        """Whether transformers has ``tensor`` as [inputs, outputs]."""
        return tensor.endswith(".weight") and self.part(tensor) in self.transposed

    def change(self, tensor: str, values: Array, heads: Callable[[str], int]) -> Array:
        """Values as transformers has them; ``heads`` of queries or keys, by the part's name."""
        part = self.part(tensor)
        if self.turns(tensor):
            return np.ascontiguousarray(halves(values, heads(part)))
        if self.norm_offset and part.endswith("norm"):
            return values - np.float32(self.norm_offset)
        if self.is_transposed(tensor):
            return np.ascontiguousarray(values.T)
        return values


FAMILIES: dict[str, Family] = {
    "llama": Family("llama", permutes=True),
    "mistral": Family("mistral", permutes=True),
    "qwen2": Family("qwen2"),
    "qwen3": Family("qwen3", layer=_LAYER | _HEAD_NORMS),
    "gemma": Family("gemma", norm_offset=1.0),
    "gemma2": Family("gemma2", layer=_LAYER | _FOUR_NORMS, norm_offset=1.0),
    "gemma3": Family("gemma3_text", layer=_LAYER | _HEAD_NORMS | _FOUR_NORMS, norm_offset=1.0),
    "phi3": Family("phi3", layer=_LAYER | _PHI3),
    "gpt2": Family(
        "gpt2",
        *(_GPT2_ENDS, _GPT2_LAYER, "transformer.h"),
        transposed=("attn_qkv", "attn_output", "ffn_up", "ffn_down"),
    ),
}
"""By ``general.architecture``."""


def halves(values: npt.NDArray[Number], heads: int) -> npt.NDArray[Number]:
    """Rows [heads * size, ...] in the order of transformers' rotation, which turns row i with row i + size / 2 of a
    head; llama.cpp has the two side by side. Rows may be of bytes."""
    pairs = values.reshape(heads, values.shape[0] // heads // 2, 2, *values.shape[1:])
    turned: npt.NDArray[Number] = pairs.swapaxes(1, 2).reshape(values.shape)
    return turned
