"""Attendant: serves Transformers from ONNX bundles over gRPC."""

from importlib.metadata import version as _version

__version__ = _version("attendant")
