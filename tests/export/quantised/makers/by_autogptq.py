"""Samples of AutoGPTQ 0.7.1's quantizer and packing: ``PYTHONPATH=.:ITS_WHEEL_UNPACKED python -m ...by_autogptq``.

Its package itself cannot be imported without CUDA and old versions of others; its modules can.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tests.export.quantised.makers.making import is_quantised, keep, make

_GROUP = 32


def module_at(package: str, path: str, name: str) -> Any:
    """A module of a package that is not imported, from its file."""
    root = next(Path(place) / package for place in sys.path if (Path(place) / package).is_dir())
    spec = importlib.util.spec_from_file_location(name, root / path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def autogptq_4(source: Path, place: Path) -> None:
    packing = module_at("auto_gptq", "nn_modules/qlinear/qlinear_cuda_old.py", "packing")
    rounding = module_at("auto_gptq", "quantization/quantizer.py", "rounding")
    tensors, expected = {}, {}
    for name, weight in load_file(source / "model.safetensors").items():
        if not is_quantised(name):
            tensors[name] = weight
            continue
        outputs, channels = weight.shape
        scales, zeros = [], []
        for start in range(0, channels, _GROUP):
            quantizer = rounding.Quantizer()
            quantizer.configure(4, perchannel=True, sym=False, mse=False)
            quantizer.find_params(weight[:, start : start + _GROUP].float(), weight=True)
            scales.append(quantizer.scale)
            zeros.append(quantizer.zero)
        linear = torch.nn.Linear(channels, outputs, bias=False)
        linear.weight.data = weight
        packed = packing.QuantLinear(4, _GROUP, channels, outputs, False)
        packed.pack(linear, torch.cat(scales, 1), torch.cat(zeros, 1), None)
        for part in ("qweight", "qzeros", "scales"):
            tensors[name.removesuffix("weight") + part] = getattr(packed, part).contiguous()
        packed.scales, packed.kernel_switch_threshold, packed.autogptq_cuda_available = packed.scales.float(), 1, False
        expected[name] = packed(torch.eye(channels)).T
    place.mkdir()
    (place / "config.json").write_text((source / "config.json").read_text())
    settings = {"bits": 4, "group_size": _GROUP, "damp_percent": 0.01, "desc_act": False, "sym": False}
    (place / "quantize_config.json").write_text(json.dumps(settings))
    save_file(tensors, place / "gptq_model-4bit-32g.safetensors")
    keep("autogptq-4", place, expected)


if __name__ == "__main__":
    make(autogptq_4)
