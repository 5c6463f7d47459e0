"""The one place where the exporter opens graphs with ONNX Runtime, with one set of options."""

from __future__ import annotations

from pathlib import Path

import onnxruntime as ort


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
