"""The wire contract: protobuf files and the stubs generated from them."""
