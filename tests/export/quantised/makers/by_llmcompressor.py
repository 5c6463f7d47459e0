"""Samples of llm-compressor 0.14.0.1 (compressed-tensors 0.19.0): ``python -m ...by_llmcompressor``."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from tokenizers.models import BPE

from tests.export.quantised.makers.making import calibration, is_quantised, keep, make


def _made(name: str, preset: str, source: Path, place: Path, data: bool = False, **weights: Any) -> None:
    transformers = importlib.import_module("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16)
    scheme = importlib.import_module("compressed_tensors.quantization").preset_name_to_scheme(preset, ["Linear"])
    for key, value in weights.items():
        setattr(scheme.weights, key, value)
    if weights.get("block_structure"):
        scheme.input_activations = None
    quantization = importlib.import_module("llmcompressor.modifiers.quantization")
    recipe = quantization.QuantizationModifier(config_groups={"group_0": scheme}, ignore=["lm_head"])
    rows = torch.cat(calibration()).tolist()
    ones = [[1] * len(row) for row in rows]
    dataset = importlib.import_module("datasets").Dataset.from_dict({"input_ids": rows, "attention_mask": ones})
    given = {"dataset": dataset, "num_calibration_samples": len(rows), "max_seq_length": len(rows[0])} if data else {}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=Tokenizer(BPE()))  # asked for, not used
    importlib.import_module("llmcompressor").oneshot(model=model, recipe=recipe, tokenizer=tokenizer, **given)
    model.save_pretrained(place, save_compressed=True)
    keep(name, place, _fp4(place) if "FP4" in preset else _plain(place))


def _plain(place: Path) -> dict[str, torch.Tensor]:
    transformers = importlib.import_module("transformers")
    settings = transformers.CompressedTensorsConfig(run_compressed=False)
    model = transformers.AutoModelForCausalLM.from_pretrained(place, quantization_config=settings, dtype=torch.float32)
    return {name: weight for name, weight in model.state_dict().items() if is_quantised(name)}


def _fp4(place: Path) -> dict[str, torch.Tensor]:
    """By its functions, in float32: a model that it loads has these weights in bfloat16."""
    values = importlib.import_module("compressed_tensors.compressors.nvfp4.helpers").unpack_fp4_from_uint8
    forward = importlib.import_module("compressed_tensors.quantization.lifecycle.forward")
    quantization = importlib.import_module("compressed_tensors.quantization")
    group = json.loads((place / "config.json").read_text())["quantization_config"]["config_groups"]["group_0"]
    arguments = quantization.QuantizationArgs(**group["weights"])
    tensors, expected = load_file(place / "model.safetensors"), {}
    for name, packed in tensors.items():
        if not name.endswith(".weight_packed"):
            continue
        stem = name.removesuffix("_packed")
        scale = tensors[f"{stem}_scale"]
        if scale.dtype == torch.uint8:
            scale = torch.exp2(scale.float() - 127)
        read = values(packed, packed.shape[0], 2 * packed.shape[1], dtype=torch.float32)
        expected[stem] = forward.dequantize(
            x_q=read,
            scale=scale.float(),
            args=arguments,
            global_scale=tensors.get(f"{stem}_global_scale"),
            dtype=torch.float32,
        )
    return expected


def words(source: Path, place: Path) -> None:
    _made("compressed-tensors-words", "W4A16_ASYM", source, place, group_size=32)


def bytes_(source: Path, place: Path) -> None:
    _made("compressed-tensors-bytes", "W8A8", source, place, data=True)


def fp8_blocks(source: Path, place: Path) -> None:
    """In blocks that do not share the rows and channels evenly."""
    _made("compressed-tensors-fp8-blocks", "FP8_BLOCK", source, place, block_structure=[24, 64])


def nvfp4(source: Path, place: Path) -> None:
    _made("compressed-tensors-nvfp4", "NVFP4", source, place, data=True)


def mxfp4(source: Path, place: Path) -> None:
    _made("compressed-tensors-mxfp4", "MXFP4A16", source, place)


def mxfp8(source: Path, place: Path) -> None:
    _made("compressed-tensors-mxfp8", "MXFP8A16", source, place)


if __name__ == "__main__":
    make(words, bytes_, fp8_blocks, nvfp4, mxfp4, mxfp8)
