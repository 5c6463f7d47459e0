"""Samples of AMD's Quark 0.13: ``python -m ...by_quark``."""

from __future__ import annotations

import importlib
from pathlib import Path

import torch

from tests.export.quantised.makers.making import calibration, is_quantised, keep, make


def _made(name: str, scheme: str, source: Path, place: Path) -> None:
    transformers, quark = importlib.import_module("transformers"), importlib.import_module("quark.torch")
    template = importlib.import_module("quark.torch.quantization.config.template").LLMTemplate
    model = transformers.AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    quantizer = quark.ModelQuantizer(template.get("llama").get_config(scheme=scheme))
    rows = torch.utils.data.DataLoader([row[0] for row in calibration()], batch_size=1)
    model = quantizer.freeze(quantizer.quantize_model(model, rows))
    expected = {name: weight.clone() for name, weight in model.named_parameters() if is_quantised(name)}
    with torch.no_grad():
        quark.export_safetensors(model=model, output_dir=str(place))
    keep(name, place, expected)


def mxfp4(source: Path, place: Path) -> None:
    _made("quark-mxfp4", "mxfp4", source, place)


def fp8_rows(source: Path, place: Path) -> None:
    _made("quark-fp8-rows", "ptpc_fp8", source, place)


def int8(source: Path, place: Path) -> None:
    _made("quark-int8", "int8", source, place)


if __name__ == "__main__":
    make(mxfp4, fp8_rows, int8)
