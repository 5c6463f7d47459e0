"""vllm.grpc.engine.VllmEngine: an engine behind a gateway, one model on a port. A skin over the front end."""
