"""What a server says, or does, whose ports strangers may reach; and what the command line shows to one."""

from __future__ import annotations

import logging
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import pytest
from attendant.client.access import Access, CannotReach, add_access_arguments
from attendant.core.errors import ConfigurationError
from attendant.security.exposure import check_exposure
from attendant.settings import AuthSettings, GrpcSettings, HttpSettings, ServeSettings, TlsSettings

HERE = Path("somewhere")
KNOWN: dict[str, Any] = {"auth": AuthSettings(tokens=HERE)}
TLS: dict[str, Any] = {"tls": TlsSettings(certificate=HERE, key=HERE)}
CERTIFIED: dict[str, Any] = {"tls": TlsSettings(certificate=HERE, key=HERE, client_ca=HERE)}


def settings(host: str, more: dict[str, Any], *, require: bool = False) -> ServeSettings:
    return ServeSettings(require_auth=require, grpc=GrpcSettings(host=host), http=HttpSettings(host="::1"), **more)


@pytest.mark.parametrize(
    ("host", "more", "words"),
    [
        ("127.0.0.1", {}, None),
        ("localhost", {}, None),
        ("::1", {}, None),
        ("0.0.0.0", {}, "OPEN TO ANYONE: grpc.host 0.0.0.0"),
        ("::", {}, "OPEN TO ANYONE: grpc.host ::"),
        ("models.example", TLS, "OPEN TO ANYONE: grpc.host models.example"),
        ("10.0.0.7", KNOWN, "NOT ENCRYPTED: grpc.host 10.0.0.7"),
        ("10.0.0.7", KNOWN | TLS, None),
        ("10.0.0.7", CERTIFIED, None),
    ],
)
def test_strangers_are_let_in_with_one_warning_or_not_at_all(
    host: str, more: dict[str, Any], words: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    check_exposure(settings(host, more))
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [line[: len(words or "")] for line in told] == ([words] if words else [])
    if words and words.startswith("OPEN"):
        with pytest.raises(ConfigurationError, match="whoever reaches these ports may use every model"):
            check_exposure(settings(host, more, require=True))
    else:
        check_exposure(settings(host, more, require=True))


def access(*words: object) -> Access:
    parser = ArgumentParser()
    add_access_arguments(parser)
    return Access.of(parser.parse_args([str(word) for word in words]))


def test_flags_and_the_environment_say_what_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").write_bytes(b"bytes\n")
    assert access() == Access()
    assert access("--tls") == Access(tls=True)
    assert access("--tls-ca", tmp_path / "f", "--token", "t") == Access(tls=True, ca=b"bytes\n", token="t")
    assert access("--token-file", tmp_path / "f").token == "bytes"
    monkeypatch.setenv("ATTENDANT_TOKEN", "from the environment".replace(" ", "-"))
    monkeypatch.setenv("ATTENDANT_TLS_CERT", str(tmp_path / "f"))
    monkeypatch.setenv("ATTENDANT_TLS_KEY", str(tmp_path / "f"))
    assert access() == Access(True, None, b"bytes\n", b"bytes\n", "from-the-environment")
    assert access("--token", "t").token == "t"
    monkeypatch.delenv("ATTENDANT_TLS_KEY")
    for words, said in (
        ((), "--tls-cert and --tls-key belong together"),
        (("--tls-key", tmp_path / "none"), "none: cannot be read: No such file"),
        (("--tls-key", tmp_path / "f", "--token", "a\nb"), "the token has characters that no token has"),
    ):
        with pytest.raises(CannotReach, match=said):
            access(*words)
