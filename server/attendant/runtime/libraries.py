"""What computes, as receipts tell it: the libraries with their versions, and the kind of processor or GPU."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime as ort
import tokenizers

from attendant.bundle import Target

_FEATURES = (
    *("sse4_1", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512dq", "avx512vl"),
    *("avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16"),
    *("asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme"),
)
"""By which ONNX Runtime and NumPy choose kernels, in the words of Linux."""

_PROCESSOR = Path("/proc/cpuinfo")
_GPUS = Path("/proc/driver/nvidia/gpus")


def libraries() -> Mapping[str, str]:
    """Versions of the libraries that bits depend on, by name."""
    return {"numpy": np.__version__, "onnxruntime": ort.__version__, "tokenizers": tokenizers.__version__}


@cache
def processor(target: Target) -> str:
    """The kind of processor, with those of its features that kernels are chosen by; for ``cuda`` the kinds of GPUs, as
    far as the driver tells."""
    if target == "cuda":
        return " ".join(["cuda", *sorted({_value(path, "Model") for path in _GPUS.glob("*/information")})])
    found = set(_value(_PROCESSOR, "flags", "Features").split())
    return " ".join([platform.machine(), *(name for name in _FEATURES if name in found)])


def _value(path: Path, *names: str) -> str:
    """What follows the first of these names in a file of lines like ``name : value``; empty where it is not told."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    parts = (line.partition(":") for line in lines)
    return next((value.strip() for name, _, value in parts if name.strip() in names), "")
