"""The command line's gRPC client. Knows the wire and nothing else of the server."""
