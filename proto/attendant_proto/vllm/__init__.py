"""vLLM's gRPC contract of an engine: protobuf files and the stubs generated from them."""
