"""Traces a torch module into an ONNX graph with fused attention."""
