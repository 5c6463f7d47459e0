"""Samples of NVIDIA's ModelOpt 0.47.0: ``python -m ...by_modelopt``."""

from __future__ import annotations

import importlib
from pathlib import Path

import torch
from safetensors.torch import load_file

from tests.export.quantised.makers.making import calibration, is_quantised, keep, make


def _made(name: str, config: str, source: Path, place: Path) -> None:
    transformers = importlib.import_module("transformers")
    quantization = importlib.import_module("modelopt.torch.quantization")
    model = transformers.AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16)
    quantization.quantize(model, getattr(quantization, config), lambda model: [model(row) for row in calibration()])
    importlib.import_module("modelopt.torch.export").export_hf_checkpoint(model, export_dir=place)
    kinds = importlib.import_module("modelopt.torch.quantization.qtensor")
    tensors, expected = load_file(place / "model.safetensors"), {}
    for key, weight in tensors.items():
        if not is_quantised(key):
            continue
        scale, whole = tensors[f"{key}_scale"], tensors.get(f"{key}_scale_2")
        if weight.dtype == torch.uint8:
            shape, block = torch.Size((weight.shape[0], 2 * weight.shape[1])), 32 if whole is None else 16
            kind = kinds.MXFP4QTensor if whole is None else kinds.NVFP4QTensor
            tensor = kind(shape, torch.float32, weight)
            expected[key] = tensor.dequantize(
                dtype=torch.float32, scale=scale, double_scale=whole, block_sizes={-1: block}
            )
        else:
            tensor = kinds.FP8QTensor(weight.shape, torch.float32, weight)
            expected[key] = tensor.dequantize(dtype=torch.float32, scale=scale)
    keep(name, place, expected)


def fp8(source: Path, place: Path) -> None:
    _made("modelopt-fp8", "FP8_DEFAULT_CFG", source, place)


def nvfp4(source: Path, place: Path) -> None:
    _made("modelopt-nvfp4", "NVFP4_DEFAULT_CFG", source, place)


def mxfp4(source: Path, place: Path) -> None:
    _made("modelopt-mxfp4", "MXFP4_DEFAULT_CFG", source, place)


if __name__ == "__main__":
    make(fp8, nvfp4, mxfp4)
