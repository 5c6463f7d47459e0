"""Samples of NVIDIA's ModelOpt 0.47.0, of mixtures whose experts are one tensor of a layer:
``python -m ...by_modelopt_experts``."""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from tests.export.quantised.makers.making import calibration, keep

_SMALL = {
    **{"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1},
    **{"head_dim": 32, "vocab_size": 64, "max_position_embeddings": 64, "num_local_experts": 2},
    **{"num_experts_per_tok": 1, "tie_word_embeddings": True, "bos_token_id": 1, "eos_token_id": 2},
    **{"initializer_range": 0.2, "pad_token_id": 0},
}
_LLAMA4 = {"intermediate_size": 48, "intermediate_size_mlp": 48, "interleave_moe_layer_step": 1}
_GPT_OSS = {"intermediate_size": 48, "rope_scaling": None, "layer_types": ["full_attention"]}


def _made(name: str, family: str, more: dict[str, Any], config: str) -> None:
    transformers = importlib.import_module("transformers")
    quantization = importlib.import_module("modelopt.torch.quantization")
    torch.manual_seed(0)
    plain = getattr(transformers, f"{family}Config")(**_SMALL, **more)
    plain.architectures = [f"{family.removesuffix('Text')}ForCausalLM"]
    model = transformers.AutoModelForCausalLM.from_config(plain, dtype=torch.bfloat16)
    quantization.quantize(model, getattr(quantization, config), lambda model: [model(row) for row in calibration() * 4])
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        importlib.import_module("modelopt.torch.export").export_hf_checkpoint(model, export_dir=place)
        tensors = load_file(place / "model.safetensors")
        packed = {key: _read(tensors, key, f"{key}_weight") for key in tensors if f"{key}_weight_scale" in tensors}
        linear = {key: _read(tensors, key, key) for key in tensors if f"{key}_scale" in tensors}
        keep(name, place, packed | linear)


def _read(tensors: dict[str, torch.Tensor], key: str, stem: str) -> torch.Tensor:
    """By the library's own code, which takes FP4 [..., N, K / 2] as it packs it before it is turned."""
    kinds = importlib.import_module("modelopt.torch.quantization.qtensor")
    weight, scale, turned = tensors[key], tensors[f"{stem}_scale"], stem != key
    if weight.dtype != torch.uint8:
        found: torch.Tensor = kinds.FP8QTensor(weight.shape, torch.float32, weight).dequantize(
            dtype=torch.float32, scale=scale
        )
        return found
    if turned:
        weight, scale = weight.transpose(1, 2).contiguous(), scale.transpose(1, 2).contiguous()
    shape = torch.Size((*weight.shape[:-1], 2 * weight.shape[-1]))
    found = kinds.NVFP4QTensor(shape, torch.float32, weight).dequantize(
        dtype=torch.float32, scale=scale, double_scale=tensors[f"{stem}_scale_2"], block_sizes={-1: 16}
    )
    return found.transpose(1, 2) if turned else found


if __name__ == "__main__":
    _made("modelopt-fp8-llama4", "Llama4Text", _LLAMA4, "FP8_DEFAULT_CFG")
    _made("modelopt-nvfp4-gpt-oss", "GptOss", _GPT_OSS, "NVFP4_DEFAULT_CFG")
