"""The section of the settings that says which calls are followed, and where their traces go."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_settings import NoDecode


class TracesSettings(BaseModel):
    """Traces (OpenTelemetry), which need the extra `attendant[traces]`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(False, description="Follow calls, and send the traces of those that are kept to a collector.")
    endpoint: str = Field(
        "",
        description="The collector, which takes OTLP over gRPC, e.g. http://localhost:4317; https for TLS. Default: "
        "what OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT says, else http://localhost:4317.",
    )
    ratio: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None,
        description="Share of calls that are kept, of those whose caller sends no traceparent; where it sends one, "
        "that decides. Default: what OTEL_TRACES_SAMPLER says, else 1, all of them.",
    )
    slow_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        None, description="Seconds from which on a call is kept because it was slow, whatever the lot said."
    )
    failed: Literal["none", "server", "all"] = Field(
        "server",
        description="Which calls are kept because they failed: those whose failure the server answers for (server), "
        "also refused, wrong and cancelled ones (all), or none.",
    )
    text: bool = Field(
        False, description="Put prompts and answers into the traces of calls that generate. They may be personal data."
    )
    max_text: Annotated[int, Field(ge=1, le=100_000)] = Field(
        1000, description="Characters of a prompt, and of an answer, that a trace has at most."
    )
    baggage: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Entries of the header baggage, by name, e.g. tenant,plan, that traces have as attributes."
    )
    max_waiting_spans: Annotated[int, Field(ge=1000, le=1_000_000)] = Field(
        10_000, description="Spans that wait to be sent at most; more are dropped, and counted."
    )
    flush_timeout_s: Annotated[float, Field(ge=0, le=60)] = Field(
        3.0, description="Seconds that sending what waits may take when the server ends."
    )

    @field_validator("endpoint")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("must be http://HOST:PORT or https://HOST:PORT")
        return value

    @field_validator("baggage", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
