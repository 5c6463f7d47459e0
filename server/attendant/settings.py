"""What an operator can set, with its default and meaning. The only reader of the environment and of YAML files.

Each section is frozen and goes to the object that needs it; nothing below ``app`` sees the whole.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ByteSize, ConfigDict, Field
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EngineSettings(_Section):
    """Continuous batching and its memory, for each model."""

    max_num_seqs: Annotated[int, Field(ge=1, le=1024)] = Field(16, description="Sequences that run together.")
    max_num_batched_tokens: Annotated[int, Field(ge=2)] = Field(
        256,
        description="Token budget of a step: decodes come first, prompts get the rest in chunks. Larger favours "
        "throughput of prompts, smaller favours steady streams. Must be larger than max_num_seqs.",
    )
    max_queue: Annotated[int, Field(ge=0)] = Field(
        1024, description="Sequences that may wait besides those that run; more are refused with RESOURCE_EXHAUSTED."
    )
    max_context_length: int | None = Field(
        None, ge=1, description="Tokens of prompt and answer together. Default: the model's own context length."
    )
    kv_memory: ByteSize | None = Field(
        None, description="KV cache budget of each model, e.g. 4GiB. Default: kv_memory_fraction of the memory."
    )
    kv_memory_fraction: Annotated[float, Field(gt=0, le=0.9)] = Field(
        0.3, description="Share of the machine's (or container's) memory for the KV caches of all models together."
    )
    prefix_cache: bool = Field(True, description="Reuse the KV cache of earlier prompts that start alike.")
    threads: int | None = Field(
        None, ge=1, description="Threads of a model run. Default: the processors this process may use."
    )
    spinning: bool = Field(
        True, description="Let idle threads of a model run spin: faster steps, at the price of idle processor time."
    )


class GrpcSettings(_Section):
    """The gRPC front."""

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for every interface.")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(50051, description="Port to listen on; 0 picks a free one.")
    max_receive_bytes: ByteSize = Field(ByteSize(4 * 1024 * 1024), description="Largest request message.")
    max_send_bytes: ByteSize = Field(ByteSize(4 * 1024 * 1024), description="Largest response message.")
    max_concurrent_streams: Annotated[int, Field(ge=1)] = Field(1024, description="Calls at once on one connection.")
    keepalive_time_s: Annotated[float, Field(gt=0)] = Field(
        30.0, description="Seconds without traffic after which the server pings a client to see whether it lives."
    )
    keepalive_timeout_s: Annotated[float, Field(gt=0)] = Field(
        10.0, description="Seconds to wait for the answer to a ping before the connection is closed."
    )
    min_client_ping_interval_s: Annotated[float, Field(gt=0)] = Field(
        10.0, description="Clients that ping more often than this are disconnected."
    )


class HttpSettings(_Section):
    """The HTTP side: /metrics and /healthz."""

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for every interface.")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(9090, description="Port to listen on; 0 picks a free one.")


class ServeSettings(BaseSettings):
    """Everything ``attendant serve`` can be told.

    Sources, strongest first: flags, environment (``ATTENDANT_ENGINE__MAX_NUM_SEQS=8``), the YAML file, defaults.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="ATTENDANT_",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    bundles: tuple[Path, ...] = Field((), description="Bundle folders, or folders of bundle folders.")
    engine: EngineSettings = EngineSettings()
    grpc: GrpcSettings = GrpcSettings()
    http: HttpSettings = HttpSettings()
    drain_timeout_s: Annotated[float, Field(ge=0)] = Field(
        30.0, description="Seconds that running requests may go on after SIGTERM before they are failed."
    )
    log_level: str = Field("info", description="debug, info, warning or error.", pattern="^(debug|info|warning|error)$")
    verify_bundles: bool = Field(True, description="Check the SHA-256 of every bundle file at start.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, env_settings, YamlConfigSettingsSource(settings_cls))
