"""Until when a certificate is valid, read from its bytes.

The standard library tells that of a peer's only: what reads others, ``_ssl._test_decode_cert``, is its own and takes
files. cryptography, which reads them, too, and which tests compare this with, is no package that serving needs.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime

from attendant.core.errors import ConfigurationError

_SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def expiry_s(pem: bytes, name: str) -> float:
    """The moment from which a certificate is not valid any more, in seconds since 1970.

    Args:
        pem: in PEM; of several certificates the first is meant. name: of their file.

    Raises:
        ConfigurationError: there is none, or it cannot be read.
    """
    try:
        block = pem.decode("ascii").partition(_BEGIN)[2].partition(_END)[0]
        return _expiry_s(ssl.PEM_cert_to_DER_cert(f"{_BEGIN}{block}{_END}\n"))
    except (ValueError, IndexError):
        raise ConfigurationError(f"{name}: has no certificate that can be read; allowed: PEM") from None


def _expiry_s(der: bytes) -> float:
    """Of one certificate: X.509 (RFC 5280, 4.1) is a sequence, whose first part is one of version, serial number,
    algorithm, issuer, and a sequence of two times."""
    (_, certificate), *_ = _parts(der)
    (_, signed), *_ = _parts(certificate)
    fields = list(_parts(signed))
    if fields[0][0] == _VERSION:
        del fields[0]
    kind, validity = fields[3]
    if kind != _SEQUENCE:
        raise ValueError("no times of validity")
    (_, _), (kind, text) = _parts(validity)
    words = text.decode("ascii")
    if kind == _UTC_TIME:  # two digits of the year: 50 is 1950 (RFC 5280, 4.1.2.5.1)
        words = ("19" if int(words[:2]) >= 50 else "20") + words
    elif kind != _GENERALIZED_TIME:
        raise ValueError("no time")
    return datetime.strptime(words, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _parts(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and content of each part of a sequence, in ASN.1's distinguished encoding."""
    at = 0
    while at < len(der):
        kind, size, at = der[at], der[at + 1], at + 2
        if size & 0x80:
            count = size & 0x7F
            size, at = int.from_bytes(der[at : at + count], "big"), at + count
        if at + size > len(der):
            raise ValueError("it ends too early")
        yield kind, der[at : at + size]
        at += size
