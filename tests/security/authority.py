"""Authorities, certificates and tokens for tests, as files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def write_identity(folder: Path, ca: trustme.CA, name: str = "server", *names: str, expired: bool = False) -> Path:
    """Files NAME.crt and NAME.key of a certificate for ``names``, or for this machine."""
    until = datetime.now(UTC) - timedelta(days=1) if expired else None
    cert = ca.issue_cert(*(names or ("localhost", "127.0.0.1")), common_name=name, not_after=until)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.key").write_bytes(cert.private_key_pem.bytes())
    (folder / f"{name}.crt").write_bytes(b"".join(pem.bytes() for pem in cert.cert_chain_pems))
    return folder / f"{name}.crt"


def write_workload(folder: Path, ca: trustme.CA, name: str, uri: str) -> Path:
    """The same of a certificate for a URI, as workloads of a mesh have them (SPIFFE)."""
    issuer = x509.load_pem_x509_certificate(ca.cert_pem.bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    cert = (
        x509.CertificateBuilder(issuer.subject, x509.Name([]), key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=True)
        .sign(cast(Any, serialization.load_pem_private_key(ca.private_key_pem.bytes(), None)), hashes.SHA256())
    )
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / f"{name}.key").write_bytes(plain)
    (folder / f"{name}.crt").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    return folder / f"{name}.crt"


def write_ca(folder: Path, ca: trustme.CA, name: str = "ca") -> Path:
    """The file NAME.pem of an authority."""
    folder.mkdir(parents=True, exist_ok=True)
    ca.cert_pem.write_to_path(str(folder / f"{name}.pem"))
    return folder / f"{name}.pem"


def row(
    name: str, token: str, scopes: Sequence[str] = ("infer",), models: Sequence[str] = ("*",), more: str = ""
) -> str:
    """A line of the file of callers."""
    digest = sha256(token.encode()).hexdigest()
    shown = ", ".join(f'"{model}"' for model in models)
    return f'- {{name: {name}, sha256: "{digest}", scopes: [{", ".join(scopes)}], models: [{shown}]{more}}}\n'
