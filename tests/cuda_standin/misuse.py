"""``python -m tests.cuda_standin.misuse CASE``: what the stand-in must complain about, each in its simplest form."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable
from ctypes import c_size_t, c_uint, c_void_p
from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper

_GLOBAL = 0


class _Dim3(ctypes.Structure):
    _fields_ = (("x", c_uint), ("y", c_uint), ("z", c_uint))


def unequal_split() -> None:
    """Let ONNX Runtime capture a graph with a Split of unequal parts; it does so in the first run.

    The kernel copies the sizes of the parts from the host. It does not for up to four parts of the last axis.
    """
    parts = {"a": 4, "b": 8}
    graph = helper.make_graph(
        [helper.make_node("Split", ["x", "sizes"], list(parts), axis=0)],
        "unequal_split",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [12, 4])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [size, 4]) for name, size in parts.items()],
        [helper.make_tensor("sizes", TensorProto.INT64, [len(parts)], list(parts.values()))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    provider = ("CUDAExecutionProvider", {"enable_cuda_graph": "1"})
    session = ort.InferenceSession(model.SerializeToString(), providers=[provider])
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", _on_device((12, 4)))
    for name, size in parts.items():
        binding.bind_ortvalue_output(name, _on_device((size, 4)))
    session.run_with_iobinding(binding)


def allocation() -> None:
    """Allocate memory while a stream is captured."""
    cudart, _ = _capturing()
    address = c_void_p()
    assert cudart.cudaMalloc(ctypes.byref(address), c_size_t(16)) != 0


def synchronisation() -> None:
    """Wait for a stream while it is captured."""
    cudart, stream = _capturing()
    assert cudart.cudaStreamSynchronize(stream) != 0


def other_thread() -> None:
    """End a capture on a thread that did not begin it."""
    cudart, stream = _capturing()
    errors: list[int] = []
    graph = c_void_p()
    thread = threading.Thread(target=lambda: errors.append(cudart.cudaStreamEndCapture(stream, ctypes.byref(graph))))
    thread.start()
    thread.join()
    assert errors != [0]


def launch() -> None:
    """Launch a kernel on no blocks."""
    none, one = _Dim3(0, 1, 1), _Dim3(1, 1, 1)
    cudart = ctypes.CDLL("libcudart.so.13")
    assert cudart.cudaLaunchKernel(c_void_p(), none, one, c_void_p(), c_size_t(0), c_void_p()) != 0


def release() -> None:
    """Free memory twice."""
    cudart = ctypes.CDLL("libcudart.so.13")
    address = c_void_p()
    assert cudart.cudaMalloc(ctypes.byref(address), c_size_t(16)) == 0
    assert cudart.cudaFree(address) == 0
    assert cudart.cudaFree(address) != 0


# By name, with the kind of the complaint.
CASES: dict[str, tuple[Callable[[], None], str]] = {
    "unequal_split": (unequal_split, "copy-in-capture"),
    "allocation": (allocation, "allocation-in-capture"),
    "synchronisation": (synchronisation, "synchronisation-in-capture"),
    "other_thread": (other_thread, "bad-capture"),
    "launch": (launch, "bad-launch"),
    "release": (release, "bad-free"),
}


def _on_device(shape: tuple[int, ...]) -> Any:
    return ort.OrtValue.ortvalue_from_numpy(np.zeros(shape, np.float32), "cuda", 0)


def _capturing() -> tuple[ctypes.CDLL, c_void_p]:
    """The library, and a stream that is being captured."""
    cudart = ctypes.CDLL("libcudart.so.13")
    stream = c_void_p()
    assert cudart.cudaStreamCreate(ctypes.byref(stream)) == 0
    assert cudart.cudaStreamBeginCapture(stream, _GLOBAL) == 0
    return cudart, stream


if __name__ == "__main__":
    CASES[sys.argv[1]][0]()
