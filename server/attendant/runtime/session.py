"""Opens ONNX files as ONNX Runtime sessions."""

from __future__ import annotations

from pathlib import Path

import onnxruntime as ort

from attendant.bundle import Target
from attendant.core.errors import BundleError, ConfigurationError

_PROVIDERS: dict[Target, str] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def open_session(path: Path, target: Target, *, threads: int, spinning: bool) -> ort.InferenceSession:
    """Open ``path`` on the device that ``target`` names.

    Raises:
        ConfigurationError: this installation of ONNX Runtime has no provider for the target.
        BundleError: ONNX Runtime refuses the file.
    """
    provider = _PROVIDERS[target]
    if provider not in ort.get_available_providers():
        raise ConfigurationError(
            f"{path.parent}: the bundle is for target {target!r}, which needs ONNX Runtime's {provider}; "
            f"this installation has {', '.join(ort.get_available_providers())}"
        )
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    try:
        return ort.InferenceSession(str(path), options, providers=[provider])
    except Exception as error:  # ONNX Runtime's exceptions share no public base class
        raise BundleError(path, f"ONNX Runtime cannot load it: {error}") from error
