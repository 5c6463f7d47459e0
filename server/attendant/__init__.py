"""Attendant: serves Transformers from ONNX bundles over gRPC."""

__version__ = "0.1.0"  # the one place: pyproject.toml reads it here, `attendant --version` and the metrics say it
