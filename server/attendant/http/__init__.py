"""What speaks HTTP: /metrics and /healthz."""
