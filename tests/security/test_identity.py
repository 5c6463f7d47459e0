"""Certificates as files: when they end, what is refused, and what stays in force when they change."""

from __future__ import annotations

import logging
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from attendant.core.errors import ConfigurationError
from attendant.metrics.security import SecurityMetrics
from attendant.security.guard import Guard
from attendant.security.identity import read_identity
from attendant.security.validity import expiry_s
from attendant.settings import AuthSettings, TlsSettings
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from prometheus_client import CollectorRegistry

from tests.security.authority import row, write_ca, write_identity


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


def settings(folder: Path, **more: object) -> TlsSettings:
    return TlsSettings(certificate=folder / "server.crt", key=folder / "server.key", **more)


@pytest.mark.parametrize("days", [1, 400, 36_500])  # the last one has four digits of its year
def test_the_end_of_a_certificate_is_read_as_a_library_reads_it(ca: trustme.CA, days: int) -> None:
    until = datetime.now(UTC) + timedelta(days=days)
    pem = ca.issue_cert("a.example", not_after=until).cert_chain_pems[0].bytes()
    expected = x509.load_pem_x509_certificate(pem).not_valid_after_utc.timestamp()
    assert expiry_s(b"words before it\n" + pem + ca.cert_pem.bytes(), "f") == expected


@pytest.mark.parametrize(
    "text", [b"", b"hello", b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", b"\xff"]
)
def test_what_is_no_certificate_is_said(text: bytes) -> None:
    with pytest.raises(ConfigurationError, match="f: has no certificate that can be read"):
        expiry_s(text, "f")


def test_a_certificate_cut_short_at_any_place_is_refused(ca: trustme.CA) -> None:
    der = ssl.PEM_cert_to_DER_cert(ca.cert_pem.bytes().decode())
    for end in range(0, 120):
        with pytest.raises(ConfigurationError):
            expiry_s(ssl.DER_cert_to_PEM_cert(der[:end]).encode(), "f")


def test_files_that_do_not_fit_are_refused(ca: trustme.CA, tmp_path: Path) -> None:
    write_identity(tmp_path, ca)
    read_identity(settings(tmp_path))
    key = tmp_path / "server.key"
    plain = key.read_bytes()
    key.write_bytes(
        load_pem_private_key(plain, None).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
        )
    )
    with pytest.raises(ConfigurationError, match="not a certificate and its key without a password"):
        read_identity(settings(tmp_path))
    write_identity(tmp_path, ca, "other")
    key.write_bytes((tmp_path / "other.key").read_bytes())
    with pytest.raises(ConfigurationError, match="not a certificate and its key"):
        read_identity(settings(tmp_path))
    key.write_bytes(plain)
    (tmp_path / "ca.pem").write_bytes(b"nothing")
    with pytest.raises(ConfigurationError, match=r"tls\.client_ca: .*ca\.pem has no authorities"):
        read_identity(settings(tmp_path, client_ca=tmp_path / "ca.pem"))
    key.unlink()
    with pytest.raises(ConfigurationError, match=r"tls\.key: .*server\.key cannot be read: No such file"):
        read_identity(settings(tmp_path))
    write_identity(tmp_path, ca, expired=True)
    with pytest.raises(ConfigurationError, match=r"tls\.certificate: .* has expired"):
        read_identity(settings(tmp_path))


def test_a_broken_file_changes_nothing_and_a_whole_one_is_taken_over(
    ca: trustme.CA, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_identity(tmp_path, ca)
    (tmp_path / "callers.yaml").write_text(row("me", "one"))
    registry = CollectorRegistry()
    auth = AuthSettings(tokens=tmp_path / "callers.yaml")
    guard = Guard(settings(tmp_path, client_ca=write_ca(tmp_path, ca)), auth, SecurityMetrics(registry))
    kept: Any = guard._kept
    identity, grants = kept
    before = identity.value
    file = {"file": str(tmp_path / "server.crt")}
    assert registry.get_sample_value("attendant_tls_certificate_expiry_seconds", file) == before.expires_s
    assert not identity.follow()
    with caplog.at_level(logging.INFO, "attendant.audit"):
        (tmp_path / "server.crt").write_bytes(b"broken")
        (tmp_path / "callers.yaml").write_text("broken")
        assert not identity.follow()
        assert not grants.follow()
        assert caplog.text.count("what was read before stays in force") == 2
        assert identity.value is before
        assert grants.value.of_token("one") is not None
        assert not identity.follow()  # and that is said once
        assert len(caplog.records) == 2
        write_identity(tmp_path, ca)
        (tmp_path / "callers.yaml").write_text(row("me", "two"))
        assert identity.follow()
        assert grants.follow()
    assert "read again from" in caplog.text
    assert identity.value.chain != before.chain
    assert grants.value.of_token("one") is None
    assert grants.value.of_token("two") is not None


def test_settings_that_belong_together_are_checked(tmp_path: Path) -> None:
    for wrong, words in (
        ({"certificate": tmp_path}, "certificate is set without key"),
        ({"key": tmp_path}, "key is set without certificate"),
        ({"client_ca": tmp_path}, "client_ca is set without certificate and key"),
    ):
        with pytest.raises(ValueError, match=words):
            TlsSettings(**wrong)
