"""Bundles for NVIDIA GPUs on the real CUDA execution provider of ONNX Runtime, without a GPU: see README.md."""
