"""Hugging Face model -> bundle of ONNX files."""
