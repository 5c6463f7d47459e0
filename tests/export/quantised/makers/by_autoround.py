"""A sample of auto-round 0.15.1: ``python -m tests.export.quantised.makers.by_autoround``."""

from __future__ import annotations

import importlib
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import BPE

from tests.export.quantised.makers.making import keep, make


def autoround_4(source: Path, place: Path) -> None:
    """In its own format, which has GPTQ's tensors. What it reads is what its layers make of unit vectors."""
    transformers = importlib.import_module("transformers")
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=Tokenizer(BPE()))  # asked for, not used
    model = transformers.AutoModelForCausalLM.from_pretrained(source, dtype=torch.float16)
    settings = {"bits": 4, "group_size": 32, "iters": 0, "disable_opt_rtn": True, "device_map": "cpu"}
    importlib.import_module("auto_round").AutoRound(model, tokenizer, **settings).quantize_and_save(
        str(place), format="auto_round"
    )
    written = next(place.rglob("model.safetensors")).parent
    backend = transformers.AutoRoundConfig(backend="torch")
    model = transformers.AutoModelForCausalLM.from_pretrained(
        written, device_map="cpu", dtype=torch.float16, quantization_config=backend
    )
    layers = {name: layer for name, layer in model.named_modules() if name.endswith("proj")}
    expected = {f"{name}.weight": layer(torch.eye(layer.infeatures).half()).T for name, layer in layers.items()}
    keep("auto-round-4", written, expected)


if __name__ == "__main__":
    make(autoround_4)
