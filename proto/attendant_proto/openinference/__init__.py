"""The Open Inference Protocol with Triton's extensions: protobuf files and the stubs generated from them."""
