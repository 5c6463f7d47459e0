"""Attendant: serves Transformers from ONNX bundles over gRPC."""

import os

__version__ = "0.1.0"  # the one place: pyproject.toml reads it here, `attendant --version` and the metrics say it

# From 1.32 on ONNX Runtime tells its maker of its use, unless this is there before it is loaded. Calling its function
# that turns it off is too late for what it looks up then.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
