"""A sample of AutoAWQ 0.2.9's packing: ``PYTHONPATH=.:ITS_SOURCE_UNPACKED python -m ...by_autoawq``.

Its package itself cannot be imported without Triton; the modules that pack can.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tests.export.quantised.makers.by_autogptq import module_at
from tests.export.quantised.makers.making import is_quantised, keep, make

_GROUP, _TOP = 16, 15


def _stand_in(name: str, **content: Any) -> None:
    module = ModuleType(name)
    vars(module).update(content)
    sys.modules[name] = module


def autoawq_4(source: Path, place: Path) -> None:
    for name in ("awq", "awq.utils", "awq.modules", "awq.modules.linear"):
        _stand_in(name, __path__=[])
    _stand_in("awq.utils.module", try_import=lambda name: (None, name))
    _stand_in("awq.utils.utils", get_best_device=lambda: "cpu")
    reading = module_at("awq", "utils/packing_utils.py", "awq.utils.packing_utils")
    packing = module_at("awq", "modules/linear/gemm.py", "awq.modules.linear.gemm")
    tensors, expected = {}, {}
    for name, weight in load_file(source / "model.safetensors").items():
        if not is_quantised(name):
            tensors[name] = weight
            continue
        outputs, channels = weight.shape
        groups = weight.float().reshape(outputs, -1, _GROUP)
        high, low = groups.amax(-1), groups.amin(-1)  # [N, groups]; as AwqQuantizer.pseudo_quantize_tensor has it
        scales = (high - low).clamp(min=1e-5) / _TOP
        zeros = (-torch.round(low / scales)).clamp(0, _TOP)
        steps = torch.clamp(torch.round(groups / scales[..., None]) + zeros[..., None], 0, _TOP) - zeros[..., None]
        linear = torch.nn.Linear(channels, outputs, bias=False)
        linear.weight.data = (steps * scales[..., None]).reshape(outputs, channels).half()
        packed = packing.WQLinear_GEMM.from_linear(
            linear, 4, _GROUP, scales=scales.T.contiguous(), zeros=zeros.T.contiguous()
        )
        parts = {part: getattr(packed, part).contiguous() for part in ("qweight", "qzeros", "scales")}
        tensors.update({name.removesuffix("weight") + part: tensor for part, tensor in parts.items()})
        scales = parts["scales"].float()
        expected[name] = reading.dequantize_gemm(parts["qweight"], parts["qzeros"], scales, 4, _GROUP).T
    place.mkdir()
    (place / "config.json").write_text((source / "config.json").read_text())
    save_file(tensors, place / "model.safetensors", {"format": "pt"})
    settings = {"quant_method": "awq", "zero_point": True, "group_size": _GROUP, "bits": 4, "version": "gemm"}
    keep("autoawq-4", place, expected, settings)


if __name__ == "__main__":
    make(autoawq_4)
