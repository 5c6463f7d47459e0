"""From a torch module to an ONNX graph with fused attention."""
