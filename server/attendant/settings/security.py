"""Whom a server listens to: TLS on its ports, and who may do what."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from attendant.settings.section import Section


class TlsSettings(Section):
    """TLS 1.2 or newer on every port, gRPC and HTTP. Files are read again when they change, and on SIGHUP."""

    certificate: Path | None = Field(
        None,
        description="PEM file of the server's certificate, and after it those that lead to its authority. Default: no "
        "TLS.",
    )
    key: Path | None = Field(None, description="PEM file of the certificate's private key, without a password.")
    client_ca: Path | None = Field(
        None,
        description="PEM file of the authorities whose certificates callers may show, who are then known by them. "
        "Default: none is asked for.",
    )
    client_certificates: Literal["required", "grpc", "optional"] = Field(
        "required",
        description="With client_ca: who has to show one. Everyone (required); everyone who speaks gRPC, while HTTP "
        "asks for one and does without, for probes (grpc); or nobody (optional): HTTP asks for one, gRPC does not, and "
        "who shows none needs a token.",
    )

    @model_validator(mode="after")
    def _are_together(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            there, missing = ("certificate", "key") if self.key is None else ("key", "certificate")
            raise ValueError(f"{there} is set without {missing}; allowed: both, or neither")
        if self.client_ca is not None and self.certificate is None:
            raise ValueError("client_ca is set without certificate and key; allowed: all three")
        return self


class AuthSettings(Section):
    """Who may call. Without a file of callers and without tls.client_ca that is whoever reaches a port."""

    tokens: Path | None = Field(
        None,
        description="YAML file of callers: hashes of their tokens, or their certificates' names, and what each may do. "
        "`attendant token new` writes its lines. It is read again when it changes, and on SIGHUP. Default: nobody is "
        "asked for a token.",
    )
    metrics: Literal["scope", "open"] = Field(
        "scope",
        description="Where callers are known, who may read /metrics: those with the scope metrics (scope), or everyone "
        "(open).",
    )
    settings_by_calls: Literal["admin", "everyone"] = Field(
        "admin",
        description="Who may change what is logged and traced, by calls of the Open Inference Protocol (LogSettings, "
        "TraceSetting): callers with the scope admin (admin), or everyone who may call (everyone).",
    )
