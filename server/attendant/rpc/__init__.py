"""The gRPC skin: servicers, converters, the status table, interceptors, health and reflection."""
