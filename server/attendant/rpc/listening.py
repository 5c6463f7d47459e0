"""How gRPC servers of this process listen: their limits, and their ports."""

from __future__ import annotations

from typing import Any

from attendant.core.errors import ConfigurationError
from attendant.settings import GrpcSettings


def listen(server: Any, host: str, port: int, setting: str) -> str:
    """Have a gRPC server take a port. Callers may connect from then on; they are answered after it starts.

    Args:
        setting: what says which port, for the error.

    Returns:
        host:port, with the real port.

    Raises:
        ConfigurationError: the address cannot be listened on.
    """
    written = f"[{host}]" if ":" in host else host
    try:
        found = server.add_insecure_port(f"{written}:{port}")
    except RuntimeError:
        raise ConfigurationError(
            f"cannot listen for gRPC on {written}:{port}: the port is in use or the address is not this machine's; set "
            f"grpc.host and {setting} (port 0 picks a free one)"
        ) from None
    return f"{written}:{found}"


def channel_options(settings: GrpcSettings) -> list[tuple[str, Any]]:
    """gRPC's own limits. A message over its limit ends its call with RESOURCE_EXHAUSTED; calls over
    ``max_concurrent_streams`` wait in the client until another call of their connection ends."""
    ping_interval_ms = _milliseconds(settings.min_client_ping_interval_s)
    ping_timeout_ms = _milliseconds(settings.keepalive_timeout_s)
    return [
        ("grpc.max_receive_message_length", int(settings.max_receive_bytes)),
        ("grpc.max_send_message_length", int(settings.max_send_bytes)),
        ("grpc.max_concurrent_streams", settings.max_concurrent_streams),
        ("grpc.keepalive_time_ms", _milliseconds(settings.keepalive_time_s)),
        ("grpc.keepalive_timeout_ms", ping_timeout_ms),
        ("grpc.http2.ping_timeout_ms", ping_timeout_ms),  # a minute by default, and the one that counts
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", ping_interval_ms),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", ping_interval_ms),
        ("grpc.so_reuseport", 0),  # a second server on the port is a mistake, and has to hear so
    ]


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
