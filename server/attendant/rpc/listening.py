"""How gRPC servers of this process listen: their limits, and their ports."""

from __future__ import annotations

from typing import Any

import grpc

from attendant.core.errors import ConfigurationError
from attendant.security.guard import Guard
from attendant.security.identity import Identity
from attendant.security.kept import Kept
from attendant.settings import GrpcSettings


def listen(server: Any, host: str, port: int, setting: str, guard: Guard | None = None) -> str:
    """Have a gRPC server take a port. Callers may connect from then on; they are answered after it starts.

    Args:
        setting: what says which port, for the error.
        guard: has the certificate; None, or without one: connections are not encrypted.

    Returns:
        host:port, with the real port.

    Raises:
        ConfigurationError: the address cannot be listened on.
    """
    written = f"[{host}]" if ":" in host else host
    try:
        address, identity = f"{written}:{port}", guard.identity if guard is not None else None
        if guard is None or identity is None:
            found = server.add_insecure_port(address)
        else:
            found = server.add_secure_port(address, _credentials(identity, asks=guard.grpc_asks))
    except RuntimeError:
        raise ConfigurationError(
            f"cannot listen for gRPC on {written}:{port}: the port is in use or the address is not this machine's; set "
            f"grpc.host and {setting} (port 0 picks a free one)"
        ) from None
    return f"{written}:{found}"


def _credentials(identity: Kept[Identity], *, asks: bool) -> grpc.ServerCredentials:
    """What handshakes are made with: each with the newest certificate. ``asks``: callers have to show one, too."""

    def configuration(now: Identity) -> Any:
        return grpc.ssl_server_certificate_configuration([(now.key, now.chain)], now.client_ca if asks else None)

    last = identity.value

    def newest() -> Any:
        nonlocal last
        if identity.value is last:
            return None
        last = identity.value
        return configuration(last)

    return grpc.dynamic_ssl_server_credentials(configuration(last), newest, require_client_authentication=asks)


def channel_options(settings: GrpcSettings) -> list[tuple[str, Any]]:
    """gRPC's own limits. A message over its limit ends its call with RESOURCE_EXHAUSTED; calls over
    ``max_concurrent_streams`` wait in the client until another call of their connection ends. A connection that is too
    old gets no new calls, and ends with its last one, or after a grace."""
    ping_interval_ms = _milliseconds(settings.min_client_ping_interval_s)
    ping_timeout_ms = _milliseconds(settings.keepalive_timeout_s)
    ages = (
        ("grpc.max_connection_age_ms", settings.max_connection_age_s),
        ("grpc.max_connection_age_grace_ms", settings.max_connection_age_grace_s),
    )
    return [
        *((name, _milliseconds(seconds)) for name, seconds in ages if seconds is not None),
        ("grpc.max_receive_message_length", int(settings.max_receive_bytes)),
        ("grpc.max_send_message_length", int(settings.max_send_bytes)),
        ("grpc.max_metadata_size", int(settings.max_metadata_bytes)),
        (
            "grpc.absolute_max_metadata_size",
            int(settings.max_metadata_bytes),
        ),  # between both it would be a matter of luck
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
