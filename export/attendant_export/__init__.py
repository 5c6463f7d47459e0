"""Hugging Face model -> bundle of ONNX files."""

import attendant  # noqa: F401 - which keeps ONNX Runtime from telling of its use, if it comes first
