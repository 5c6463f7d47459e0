"""Makes ``llama_cpp_types.npz``: blocks of every type as llama.cpp packs them, and the values that it reads from them.

By hand, ``python -m tests.export.gguf.by_llama_cpp``, where llama_cpp (0.3.36 of llama-cpp-python) can be imported.
"""

from __future__ import annotations

import ctypes
import importlib
from pathlib import Path
from typing import Any

import numpy as np
from attendant_export.source.gguf.file import TYPES
from gguf import GGMLQuantizationType

PATH = Path(__file__).with_name("llama_cpp_types.npz")
PLAIN = ("F32", "F16", "BF16")
ROWS, CHANNELS = 2, 512


class _Traits(ctypes.Structure):
    """``ggml_type_traits``."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("block", ctypes.c_int64),
        ("interleaved", ctypes.c_int64),
        ("size", ctypes.c_size_t),
        ("quantised", ctypes.c_bool),
        ("to_float", ctypes.c_void_p),
        ("from_float", ctypes.c_void_p),
    )


def main() -> None:
    place = Path(importlib.import_module("llama_cpp").__file__).parent / "lib"
    library = ctypes.CDLL(str(next(place.glob("libggml-base.so*"))))
    library.ggml_get_type_traits.restype = ctypes.POINTER(_Traits)
    pointers = (ctypes.c_void_p, ctypes.c_void_p)
    sizes = (ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
    library.ggml_quantize_chunk.argtypes = [ctypes.c_int, *pointers, *sizes, ctypes.c_void_p]
    reader = ctypes.CFUNCTYPE(None, *pointers, ctypes.c_int64)
    weight = np.random.default_rng(0).standard_normal((ROWS, CHANNELS)).astype(np.float32)
    weight[0, :32] = 0
    weight[1, 32:64] = np.abs(weight[1, 32:64]) + 3
    weight[0, 64:96] *= 1e-3
    found: dict[str, Any] = {}
    for name in TYPES:
        if name in PLAIN:
            continue
        kind = int(GGMLQuantizationType[name])
        traits = library.ggml_get_type_traits(kind).contents
        data = np.zeros((ROWS, CHANNELS // traits.block * traits.size), np.uint8)
        library.ggml_quantize_chunk(kind, weight.ctypes.data, data.ctypes.data, 0, ROWS, CHANNELS, None)
        values = np.empty((ROWS, CHANNELS), np.float32)
        reader(traits.to_float)(data.ctypes.data, values.ctypes.data, values.size)
        found[f"{name}.bytes"], found[f"{name}.values"] = data, values
    np.savez_compressed(PATH, **found)


if __name__ == "__main__":
    main()
