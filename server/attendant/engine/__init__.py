"""Brain for generation: KV accounting, policy, the step and the engine thread. No asyncio, grpc or ONNX Runtime."""
