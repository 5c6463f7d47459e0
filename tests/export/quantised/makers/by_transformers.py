"""Samples of transformers 5.23.0's own FP8 and MXFP8, of bitsandbytes 0.50.2 and of torchao 0.18.0 through it:
``python -m ...by_transformers``."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from tests.export.quantised.makers.making import is_quantised, keep, make


def _saved(source: Path, place: Path, settings: Any) -> None:
    auto = importlib.import_module("transformers").AutoModelForCausalLM
    auto.from_pretrained(source, quantization_config=settings, dtype=torch.float32).save_pretrained(place)


def _fp8(name: str, source: Path, place: Path, **settings: Any) -> None:
    transformers = importlib.import_module("transformers")
    quantizer = importlib.import_module("transformers.quantizers.quantizer_finegrained_fp8").FineGrainedFP8HfQuantizer
    quantizer.validate_environment = lambda self, *_, **__: None  # it asks for a GPU, and needs none to quantise
    _saved(source, place, transformers.FineGrainedFP8Config(**settings))
    again = transformers.FineGrainedFP8Config(dequantize=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(place, quantization_config=again, dtype=torch.float32)
    keep(name, place, {key: weight for key, weight in model.state_dict().items() if is_quantised(key)})


def fp8_blocks(source: Path, place: Path) -> None:
    _fp8("transformers-fp8-blocks", source, place, weight_block_size=(16, 32))


def mxfp8(source: Path, place: Path) -> None:
    settings = {"weight_block_size": (1, 32), "scale_fmt": "ue8m0", "quant_method": "mxfp8"}
    _fp8("transformers-mxfp8", source, place, **settings)


def bitsandbytes_nf4(source: Path, place: Path) -> None:
    """With nested scales. Read by its generic function: the one for CPUs takes rows shorter than a block wrongly."""
    settings = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}
    config = importlib.import_module("transformers").BitsAndBytesConfig(load_in_4bit=True, **settings)
    _saved(source, place, config)
    functional = importlib.import_module("bitsandbytes.functional")
    read = importlib.import_module("bitsandbytes.backends.default.ops")._dequantize_4bit_compute
    table = importlib.import_module("bitsandbytes.backends.utils")._get_4bit_code("nf4", torch.device("cpu"))
    tensors, expected = load_file(place / "model.safetensors"), {}
    for key, weight in tensors.items():
        if is_quantised(key):
            parts = {
                part.removeprefix(f"{key}."): tensor for part, tensor in tensors.items() if part.startswith(f"{key}.")
            }
            state = functional.QuantState.from_dict(parts, device=torch.device("cpu"))
            scales = functional.dequantize_blockwise(state.absmax, state.state2) + state.offset
            shape = tuple(state.shape)
            expected[key] = read(weight.reshape(-1), scales.float(), table, state.blocksize, shape, torch.float32)
    keep("bitsandbytes-nf4-nested", place, expected)


def torchao_int4(source: Path, place: Path) -> None:
    transformers, torchao = importlib.import_module("transformers"), importlib.import_module("torchao.quantization")
    granularity = importlib.import_module("torchao.quantization.granularity").PerGroup(32)
    config = torchao.IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=granularity)
    _saved(source, place, transformers.TorchAoConfig(config))
    model = transformers.AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32)
    weights = {name: weight for name, weight in model.named_parameters() if is_quantised(name)}
    keep("torchao-int4", place, {name: weight.dequantize() for name, weight in weights.items()})


if __name__ == "__main__":
    make(fp8_blocks, mxfp8, bitsandbytes_nf4, torchao_int4)
