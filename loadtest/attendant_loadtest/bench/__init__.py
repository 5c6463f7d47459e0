"""What the engine and the server cost on top of bare ONNX Runtime, measured side by side."""
