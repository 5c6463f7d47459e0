"""What the HTTP side can be told."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ByteSize, Field, field_validator
from pydantic_settings import NoDecode

from attendant.settings.section import Section


class HttpSettings(Section):
    """The HTTP side: /metrics, /metrics/load, /healthz, the live page at / and the APIs of others' clients."""

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for every interface.")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(9090, description="Port to listen on; 0 picks a free one.")
    page: Literal["loopback", "everyone", "off"] = Field(
        "loopback",
        description="Who gets the live page at /, which can also run models: browsers on this machine (loopback), "
        "everyone who reaches the port and, where callers are known, has a token, who may then use the models "
        "(everyone), or nobody (off).",
    )
    api: bool = Field(
        True,
        description="Answer clients of OpenAI's, Anthropic's, Cohere's and Jina's APIs and of the Open Inference "
        "Protocol: whoever reaches the port, unless callers are known (auth.tokens, tls.client_ca).",
    )
    max_body_bytes: Annotated[ByteSize, Field(ge=1024)] = Field(
        ByteSize(64 * 1024 * 1024), description="Largest body of a request; larger ones are refused with 413."
    )
    max_head_bytes: Annotated[ByteSize, Field(ge=1024)] = Field(
        ByteSize(64 * 1024),
        description="Size of the first line and all headers of a request; more is refused with 431.",
    )
    keep_alive_s: Annotated[float, Field(ge=0, le=3600)] = Field(
        0.0,
        description="Seconds of silence after which a stream of events has a comment, so that proxies keep it open: 1 "
        "or more, or 0 for never. A call may ask for its own.",
    )
    max_connection_age_s: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = Field(
        None,
        description="Seconds after which the next answer on a connection ends it, so that balancers see new replicas. "
        "Default: never.",
    )
    origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Web pages whose scripts may call the APIs from a browser, by their origins, e.g. "
        "https://chat.example.org, parted by commas. Default: none but this server's own.",
    )

    @field_validator("keep_alive_s")
    @classmethod
    def _is_a_while(cls, value: float) -> float:
        if 0 < value < 1:
            raise ValueError(f"is {value:g}; allowed: 0, or at least 1")
        return value

    @field_validator("origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            scheme, _, host = origin.partition("://")
            if not scheme or not host or "/" in host or "*" in host:
                raise ValueError(f"has {origin!r}; allowed: SCHEME://HOST or SCHEME://HOST:PORT")
        return value
