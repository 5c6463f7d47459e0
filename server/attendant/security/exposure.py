"""Who may call a server that listens to more than its own machine: said loudly at the start, or refused."""

from __future__ import annotations

import logging

from attendant.core.addresses import is_loopback
from attendant.core.errors import ConfigurationError
from attendant.settings import ServeSettings

logger = logging.getLogger("attendant")


def check_exposure(settings: ServeSettings) -> None:
    """Warn where strangers may call, or where tokens could be overheard.

    Raises:
        ConfigurationError: strangers may call, and ``require_auth`` is set.
    """
    hosts = {"grpc.host": settings.grpc.host, "http.host": settings.http.host}
    open_to = [f"{name} {host}" for name, host in hosts.items() if host != "localhost" and not is_loopback(host)]
    if not open_to:
        return
    where = " and ".join(open_to)
    if settings.auth.tokens is None and settings.tls.client_ca is None:
        said = (
            f"{where}: whoever reaches these ports may use every model, as callers are not asked who they are; set "
            "auth.tokens (`attendant token new` writes one) or tls.client_ca, or listen on 127.0.0.1"
        )
        if settings.require_auth:
            raise ConfigurationError(f"{said}. require_auth is set")
        logger.warning("OPEN TO ANYONE: %s. require_auth would refuse to start", said)
    elif settings.tls.certificate is None:
        logger.warning(
            "NOT ENCRYPTED: %s: tokens, prompts and answers travel in the clear; set tls.certificate and tls.key, "
            "unless a proxy of this machine ends TLS",
            where,
        )
