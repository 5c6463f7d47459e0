"""The server's certificate and key, and whose certificates of callers it believes: read, checked, made a context."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path

from attendant.core.errors import ConfigurationError
from attendant.security.validity import expiry_s
from attendant.settings import TlsSettings


@dataclass(frozen=True, slots=True)
class Identity:
    """What the server is on the wire. Bytes are PEM.

    Attributes:
        chain: its certificate, and those that lead to its authority.
        client_ca: authorities of callers' certificates; None: none is asked for.
        expires_s: when its certificate is not valid any more, in seconds since 1970.
        context: of handshakes over sockets of the standard library.
    """

    chain: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None
    expires_s: float
    context: ssl.SSLContext = field(repr=False, compare=False)


def files_of(settings: TlsSettings) -> tuple[Path, ...]:
    """The files that an identity is read from."""
    return tuple([path for path in (settings.certificate, settings.key, settings.client_ca) if path is not None])


def read_identity(settings: TlsSettings) -> Identity:
    """What the files of ``settings`` say now, checked as a whole.

    Raises:
        ConfigurationError: a file cannot be read, the key is another certificate's, the certificate has expired, or
            files changed meanwhile.
    """
    before = _bytes_of(settings)
    chain, key, authorities = before
    certificate, _ = _pair(settings)
    expires_s = expiry_s(chain, str(certificate))
    if expires_s <= time.time():
        raise ConfigurationError(f"tls.certificate: {certificate} has expired")
    context = _context(settings, authorities)
    if _bytes_of(settings) != before:
        raise ConfigurationError(
            f"tls: the files changed while they were read: {', '.join(map(str, files_of(settings)))}"
        )
    return Identity(chain, key, authorities, expires_s, context)


def _context(settings: TlsSettings, authorities: bytes | None) -> ssl.SSLContext:
    certificate, private = _pair(settings)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A session that is resumed shows no certificate again: one of an authority that is not believed any more would do.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    try:
        context.load_cert_chain(certificate, private, lambda: "")  # else it would ask the terminal
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ConfigurationError(
            f"tls: {certificate} and {private} are not a certificate and its key without a password: "
            f"{getattr(error, 'reason', None) or error}"
        ) from None
    if authorities is not None:
        try:
            context.load_verify_locations(cadata=authorities.decode("ascii"))
        except (ssl.SSLError, ValueError) as error:
            raise ConfigurationError(f"tls.client_ca: {settings.client_ca} has no authorities: {error}") from None
        required = settings.client_certificates == "required"
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    return context


def _bytes_of(settings: TlsSettings) -> tuple[bytes, bytes, bytes | None]:
    certificate, private = _pair(settings)
    chain, key = _read("certificate", certificate), _read("key", private)
    return chain, key, _read("client_ca", settings.client_ca) if settings.client_ca is not None else None


def _pair(settings: TlsSettings) -> tuple[Path, Path]:
    assert settings.certificate is not None, "whoever reads an identity has one"
    assert settings.key is not None, "the settings have both or neither"
    return settings.certificate, settings.key


def _read(name: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"tls.{name}: {path} cannot be read: {error.strerror or error}") from None
