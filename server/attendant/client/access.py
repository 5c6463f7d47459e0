"""How the command line reaches a server that does not listen to everyone: TLS, certificates, a token."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

TOKEN, CA, CERTIFICATE, KEY = "ATTENDANT_TOKEN", "ATTENDANT_TLS_CA", "ATTENDANT_TLS_CERT", "ATTENDANT_TLS_KEY"


class CannotReach(Exception):
    """What a caller is to show cannot be shown; ``str(error)`` is one line for a person."""


@dataclass(frozen=True, slots=True)
class Access:
    """What a caller shows, and whom it believes. Bytes are PEM.

    Attributes:
        tls: the connection is encrypted.
        ca: authorities of servers' certificates; None: those that the machine believes.
        certificate, key: the caller's own; None: it has none.
        token: None: it has none.
    """

    tls: bool = False
    ca: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None
    token: str | None = None

    @classmethod
    def of(cls, args: Namespace) -> Access:
        """What the flags of :func:`add_access_arguments` and the environment say. Raises CannotReach."""
        asked = os.environ
        ca, certificate, key = (
            given or asked.get(name) or None
            for given, name in ((args.tls_ca, CA), (args.tls_cert, CERTIFICATE), (args.tls_key, KEY))
        )
        if (certificate is None) != (key is None):
            raise CannotReach("--tls-cert and --tls-key belong together; allowed: both, or neither")
        if args.token_file is not None:
            token = _read(args.token_file).decode(errors="replace").strip()
        else:
            token = args.auth_token if args.auth_token is not None else asked.get(TOKEN, "")
        if token and not (token.isascii() and token.isprintable()):
            raise CannotReach("the token has characters that no token has; allowed: visible ones of ASCII")
        tls = args.tls or ca is not None or certificate is not None
        return cls(tls, _read_if(ca), _read_if(certificate), _read_if(key), token or None)

    def channel(self, address: str, options: Sequence[tuple[str, Any]]) -> grpc.Channel:
        """A connection to the server at ``address``."""
        if self.tls:
            credentials = grpc.ssl_channel_credentials(self.ca, self.key, self.certificate)
            channel = grpc.secure_channel(address, credentials, options)
        else:
            channel = grpc.insecure_channel(address, options)
        return channel if self.token is None else grpc.intercept_channel(channel, _Bearer(self.token))


def add_access_arguments(parser: ArgumentParser, *, token: bool = True) -> None:
    """Flags for servers that do not listen to everyone. ``token``: ``--token`` means that of the caller here."""
    group = parser.add_argument_group("access", "for servers with TLS, or that ask who calls")
    group.add_argument("--tls", action="store_true", help="encrypt; implied by the three below")
    group.add_argument("--tls-ca", metavar="FILE", help=f"PEM of the server's authority [env: {CA}]")
    group.add_argument("--tls-cert", metavar="FILE", help=f"PEM of your own certificate [env: {CERTIFICATE}]")
    group.add_argument("--tls-key", metavar="FILE", help=f"PEM of its key [env: {KEY}]")
    names = ("--token", "--auth-token") if token else ("--auth-token",)
    shown = f"your token; better in the environment, as others see flags [env: {TOKEN}]"
    group.add_argument(*names, metavar="TOKEN", dest="auth_token", help=shown)
    group.add_argument("--token-file", metavar="FILE", help="file with nothing but your token")


class _Bearer(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Sends a token with every call, whether the connection is encrypted or not: something else may see to that."""

    def __init__(self, token: str) -> None:
        self._entry = ("authorization", f"Bearer {token}")

    def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        """See grpc."""
        return continuation(self._with_token(details), request)

    def intercept_unary_stream(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        """See grpc."""
        return continuation(self._with_token(details), request)

    def intercept_stream_unary(self, continuation: Callable[..., Any], details: Any, requests: Any) -> Any:
        """See grpc."""
        return continuation(self._with_token(details), requests)

    def intercept_stream_stream(self, continuation: Callable[..., Any], details: Any, requests: Any) -> Any:
        """See grpc."""
        return continuation(self._with_token(details), requests)

    def _with_token(self, details: Any) -> Any:
        return details._replace(metadata=(*(details.metadata or ()), self._entry))


def _read_if(path: str | None) -> bytes | None:
    return None if path is None else _read(path)


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise CannotReach(f"{path}: cannot be read: {error.strerror or error}") from None
