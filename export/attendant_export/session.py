"""The one place where the exporter opens graphs with ONNX Runtime, with one set of options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from attendant.bundle.graph_io import CachePorts
from onnxruntime.capi import onnxruntime_pybind11_state as _ort

RUN_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    *(kind for kind in vars(_ort).values() if isinstance(kind, type) and issubclass(kind, Exception)),
)
"""What ONNX Runtime raises over a graph that it cannot run."""

Cached = tuple[npt.NDArray[Any], npt.NDArray[Any]]


def session_options(threads: int = 0) -> ort.SessionOptions:
    """The options of every session; ``threads``: of one product, all of the machine's by default.

    There is no arena, which would keep what the largest run took: an export needs that memory for its next stage.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False
    return options


def open_session(
    graph: Path | bytes, *, threads: int = 0, options: ort.SessionOptions | None = None
) -> ort.InferenceSession:
    """Opens a file, or a serialised graph, for this machine's processor.

    Args:
        options: of :func:`session_options`, with more added to them.
    """
    content = graph if isinstance(graph, bytes) else str(graph)
    return ort.InferenceSession(content, options or session_options(threads), providers=["CPUExecutionProvider"])


def bind_cache(
    binding: ort.IOBinding, cache: CachePorts, calls: Sequence[Cached], types: Mapping[str, int] | None = None
) -> None:
    """Binds keys and values of each attention call in place, as inputs and as outputs.

    Args:
        types: ONNX's numbers of the types of those inputs that numpy has no type for, by name.
    """
    arrays = [array for call in calls for array in call]
    for (past, present), array in zip(cache.names(len(calls)), arrays, strict=True):
        dtype: type[np.generic] | int = (types or {}).get(past, array.dtype.type)
        place = ("cpu", 0, dtype, array.shape, array.ctypes.data)
        binding.bind_input(past, *place)
        binding.bind_output(present, *place)
