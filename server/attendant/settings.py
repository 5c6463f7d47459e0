"""What an operator can set, with its default and meaning. The only reader of the environment and of YAML files.

Each section is frozen and goes to the object that needs it; nothing below ``app`` sees the whole.
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ByteSize, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    CliPositionalArg,
    CliSettingsSource,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from attendant.core.errors import ConfigurationError

ENV_PREFIX = "ATTENDANT_"
ENV_CONFIG = "ATTENDANT_CONFIG"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EngineSettings(_Section):
    """Continuous batching and its memory, for each model."""

    max_num_seqs: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        None, description="Sequences that run together. Default: 16 on a CPU, 256 on a GPU, which takes no more."
    )
    max_num_batched_tokens: int | None = Field(
        None,
        ge=4,
        description="Token budget of a step: decodes come first, prompts get the rest in chunks. Larger favours "
        "throughput of prompts, smaller favours steady streams. Least: max_num_seqs + 3; default: max_num_seqs + 256 "
        "on a CPU, + 2048 on a GPU.",
    )
    max_queue: Annotated[int, Field(ge=0)] = Field(
        1024, description="Sequences that may wait besides those that run; more are refused with RESOURCE_EXHAUSTED."
    )
    max_context_length: int | None = Field(
        None, ge=1, description="Tokens of prompt and answer together. Default: the model's own context length."
    )
    kv_memory: ByteSize | None = Field(
        None,
        description="KV cache budget of each model on a CPU, e.g. 4GiB. Default: kv_memory_fraction of the memory.",
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

    @model_validator(mode="after")
    def _budget_leaves_room_for_prompts(self) -> Self:
        if self.max_num_seqs is not None:
            self.token_budget(self.max_num_seqs, 0)
        return self

    def token_budget(self, max_num_seqs: int, prompt_tokens: int) -> int:
        """Tokens of a step: what was set, or room for ``max_num_seqs`` decodes and ``prompt_tokens`` besides.

        Raises:
            ValueError: what was set leaves no room for a prompt.
        """
        least = max_num_seqs + 3  # three prompt tokens: the shortest prompt that cannot be cut into chunks
        budget = self.max_num_batched_tokens
        if budget is not None and budget < least:
            raise ValueError(
                f"max_num_batched_tokens is {budget}; with max_num_seqs {max_num_seqs} it must be at least {least}, or "
                "prompts would wait for ever"
            )
        return budget or max_num_seqs + prompt_tokens


class GpuSettings(_Section):
    """GPUs, for bundles of target cuda."""

    devices: Annotated[tuple[int, ...] | None, NoDecode] = Field(
        None, description="GPUs to use, by number, e.g. 0,1: an engine of every model on each. Default: the first."
    )
    memory_fraction: Annotated[float, Field(gt=0, le=0.98)] = Field(
        0.9, description="Share of a GPU's memory for all models together: weights, runs and KV cache."
    )
    num_blocks: int | None = Field(
        None, ge=2, description="Blocks of each model's KV cache. Default: what memory_fraction leaves room for."
    )
    block_size: int | None = Field(
        None,
        ge=1,
        description="Positions of a block; on a GPU a power of two, at least 16. Default: the smallest that the "
        "fastest kernels take, 128 or, for heads of 64 and less, 256.",
    )
    cuda_graphs: bool = Field(True, description="Capture decode steps as CUDA graphs at start: less work for the host.")

    @field_validator("devices", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, int):
            return (value,)
        return [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("devices")
    @classmethod
    def _once_each(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if value is not None and (not value or len(set(value)) < len(value) or min(value) < 0):
            raise ValueError("must name GPUs by number from 0, each once, e.g. 0,1")
        return value


class GrpcSettings(_Section):
    """The gRPC front."""

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for every interface.")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(50051, description="Port to listen on; 0 picks a free one.")
    max_receive_bytes: ByteSize = Field(
        ByteSize(4 * 1024 * 1024),
        description="Largest request message; larger ones are refused with RESOURCE_EXHAUSTED.",
    )
    max_send_bytes: ByteSize = Field(
        ByteSize(4 * 1024 * 1024),
        description="Largest response message; a call that would send a larger one ends with RESOURCE_EXHAUSTED.",
    )
    max_concurrent_streams: Annotated[int, Field(ge=1)] = Field(
        1024, description="Calls at once on one connection; the client holds more back."
    )
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
    """Everything ``attendant serve`` can be told. Constructing it reads nothing: :class:`SettingsArguments` does."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=ENV_PREFIX, env_nested_delimiter="__", protected_namespaces=()
    )

    bundles: CliPositionalArg[Annotated[tuple[Path, ...], NoDecode]] = Field(
        (),
        description="Bundle folders, or folders of bundle folders; none serves the embedded demo model. "
        f"[env: {ENV_PREFIX}BUNDLES, parted by '{os.pathsep}']",
    )
    demo: bool = Field(False, description="Serve the embedded demo model, besides any bundles.")
    engine: EngineSettings = EngineSettings()
    gpu: GpuSettings = GpuSettings()
    grpc: GrpcSettings = GrpcSettings()
    http: HttpSettings = HttpSettings()
    drain_timeout_s: Annotated[float, Field(ge=0)] = Field(
        30.0, description="Seconds that running requests may go on after SIGTERM before they are failed."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="How much to log on standard error."
    )
    verify_bundles: bool = Field(True, description="Check the SHA-256 of every bundle file at start.")

    @field_validator("bundles", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part for part in value.split(os.pathsep) if part] if isinstance(value, str) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what the constructor is given."""
        return (init_settings,)


class SettingsArguments:
    """The settings as arguments of ``parser``, and their values once it has parsed.

    Sources, strongest first: flags (``--engine.max-num-seqs 8``), environment (``ATTENDANT_ENGINE__MAX_NUM_SEQS=8``),
    the YAML file of ``--config`` or ``ATTENDANT_CONFIG``, defaults.
    """

    def __init__(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--config",
            metavar="FILE",
            type=Path,
            help=f"YAML file of settings, as in 'engine: {{max_num_seqs: 8}}'; flags and environment are stronger. "
            f"(default: None) [env: {ENV_CONFIG}]",
        )
        self._flags: CliSettingsSource[ArgumentParser] = CliSettingsSource(
            ServeSettings,
            root_parser=parser,
            cli_kebab_case=True,
            cli_implicit_flags=True,
            cli_avoid_json=True,
            cli_hide_none_type=True,
            cli_show_env_vars=True,
            cli_use_class_docs_for_groups=True,
        )

    def load(self, args: Namespace) -> ServeSettings:
        """Gather and check.

        Raises:
            ConfigurationError: one line that names the setting, where it came from and what is allowed.
        """
        config = args.config or os.environ.get(ENV_CONFIG)
        file = _read_yaml(Path(config)) if config else {}
        try:
            environment = EnvSettingsSource(ServeSettings)()
        except SettingsError as error:
            raise ConfigurationError(f"environment: {error}") from None
        sources = {"flag": self._given(args), "environment": environment, str(config): file}
        merged: dict[str, Any] = {}
        for values in reversed(sources.values()):
            merged = _merge(merged, values)
        try:
            return ServeSettings(**merged)
        except ValidationError as error:
            raise ConfigurationError(_explain(error, sources)) from None

    def _given(self, args: Namespace) -> dict[str, Any]:
        self._flags(parsed_args=args)
        given = dict(self._flags())
        if isinstance(args.bundles, list):  # which pydantic-settings joins by commas where decoding is off
            given["bundles"] = args.bundles
        return given


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigurationError(f"{path}: must hold settings by name, e.g. 'engine: {{max_num_seqs: 8}}'")
    for key in (*data, *(key for section in data.values() if isinstance(section, dict) for key in section)):
        if not isinstance(key, str):  # YAML reads names such as no and 1 as values
            raise ConfigurationError(f"{path}: {key!r} is not the name of a setting")
    return data


def _merge(weak: Mapping[str, Any], strong: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(weak)
    for key, value in strong.items():
        below = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        merged[key] = _merge(below, value) if both else value  # type: ignore[arg-type]
    return merged


def _explain(error: ValidationError, sources: Mapping[str, Mapping[str, Any]]) -> str:
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    name = ".".join(path)
    origin = next((_origin(source, path) for source, values in sources.items() if _holds(values, path)), "settings")
    if first["type"] == "extra_forbidden":
        section: Any = ServeSettings
        for part in path[:-1]:
            section = section.model_fields[part].annotation
        return f"{origin}: there is no setting {name}; there are {', '.join(section.model_fields)}"
    message = first["msg"].removeprefix("Value error, ")
    if isinstance(first["input"], dict | BaseModel):  # a rule over a whole section: no single place is at fault
        return f"{name} settings: {message}"
    return f"{origin}: {name}: {message} (it is {str(first['input'])!r})"


def _holds(values: Any, path: list[str]) -> bool:
    for part in path:
        if part.isdecimal() and isinstance(values, list | tuple | str):
            return True
        if not isinstance(values, Mapping) or part not in values:
            return False
        values = values[part]
    return True


def _origin(source: str, path: list[str]) -> str:
    if source == "flag":
        return "argument --" + ".".join(path).replace("_", "-") if path[0] != "bundles" else "argument BUNDLES"
    if source == "environment":
        return "environment variable " + ENV_PREFIX + "__".join(path).upper()
    return source
