"""Samples of GPTQModel 7.7.0: ``GPTQMODEL_CPU_WORKERS=2 python -m tests.export.quantised.makers.by_gptqmodel``."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from tests.export.quantised.makers.making import calibration, keep, make


def _made(name: str, source: Path, place: Path, **settings: Any) -> None:
    gptqmodel = importlib.import_module("gptqmodel")
    backend = gptqmodel.BACKEND.GPTQ_TORCH
    data = [{"input_ids": row[0].tolist(), "attention_mask": [1] * row.numel()} for row in calibration()]
    tokenizer = Tokenizer(BPE(vocab={"a": 0, "b": 1}, merges=[]))  # asked for, not used
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="a", pad_token="b").save_pretrained(source)
    config = gptqmodel.QuantizeConfig(group_size=32, sym=False, offload_to_disk=False, **settings)
    model = gptqmodel.GPTQModel.load(str(source), config, device="cpu", backend=backend)
    model.quantize(data, batch_size=1)
    model.save(str(place))
    model = gptqmodel.GPTQModel.load(str(place), device="cpu", backend=backend, dtype=torch.float16)
    expected = {}
    for key, module in model.model.named_modules():
        if hasattr(module, "dequantize_weight"):
            module.scales = module.scales.float()
            expected[f"{key}.weight"] = module.dequantize_weight().T
    keep(name, place, expected)


def gptqmodel_4(source: Path, place: Path) -> None:
    _made("gptqmodel-4", source, place, bits=4)


def gptqmodel_3_by_activations(source: Path, place: Path) -> None:
    _made("gptqmodel-3-by-activations", source, place, bits=3, desc_act=True, act_group_aware=False)


def gptqmodel_2_second_version(source: Path, place: Path) -> None:
    _made("gptqmodel-2-second-version", source, place, bits=2, format="gptq_v2")


if __name__ == "__main__":
    make(gptqmodel_4, gptqmodel_3_by_activations, gptqmodel_2_second_version)
