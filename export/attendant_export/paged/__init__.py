"""PagedAttention, which ONNX Runtime has for CUDA only, as standard operators, so that paged graphs run on a CPU."""
