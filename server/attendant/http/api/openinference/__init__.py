"""The Open Inference Protocol over HTTP: JSON and binary tensors made the messages of its gRPC half, which answers."""
