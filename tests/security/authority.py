"""Authorities, certificates and tokens for tests, as files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import trustme


def write_identity(folder: Path, ca: trustme.CA, name: str = "server", *names: str, expired: bool = False) -> Path:
    """Files NAME.crt and NAME.key of a certificate for ``names``, or for this machine."""
    until = datetime.now(UTC) - timedelta(days=1) if expired else None
    cert = ca.issue_cert(*(names or ("localhost", "127.0.0.1")), common_name=name, not_after=until)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.key").write_bytes(cert.private_key_pem.bytes())
    (folder / f"{name}.crt").write_bytes(b"".join(pem.bytes() for pem in cert.cert_chain_pems))
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
