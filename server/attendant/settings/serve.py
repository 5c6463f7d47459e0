"""Everything that ``attendant serve`` can be told: the sections, and what belongs to the server as a whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    CliPositionalArg,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from attendant.settings.admission import AdmissionSettings
from attendant.settings.engine import EngineSettings
from attendant.settings.engine_ports import EnginePort
from attendant.settings.http import HttpSettings
from attendant.settings.lifecycle import LifecycleSettings
from attendant.settings.limits import LimitsSettings
from attendant.settings.logs import LogsSettings
from attendant.settings.repository import RepositorySettings
from attendant.settings.sections import (
    ChatSettings,
    EncoderSettings,
    ExplainSettings,
    GpuSettings,
    GrammarSettings,
    GrpcSettings,
    MetricsSettings,
    RecordSettings,
    SloSettings,
    SpeechSettings,
)
from attendant.settings.security import AuthSettings, TlsSettings
from attendant.settings.traces import TracesSettings

ENV_PREFIX = "ATTENDANT_"


class ServeSettings(BaseSettings):
    """Everything ``attendant serve`` can be told. Constructing it reads nothing: :class:`SettingsArguments` does."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=ENV_PREFIX, env_nested_delimiter="__", protected_namespaces=()
    )

    bundles: CliPositionalArg[Annotated[tuple[Path, ...], NoDecode]] = Field(
        (),
        description="Bundle folders, or folders of bundle folders; none serves the embedded demo models, unless there "
        f"is a model repository. [env: {ENV_PREFIX}BUNDLES, parted by '{os.pathsep}']",
    )
    demo: bool = Field(False, description="Serve the embedded demo models, besides any bundles.")
    model_repository: Path | None = Field(
        None,
        description="Folder of models: FOLDER/NAME/VERSION/ with a bundle in each, or FOLDER/NAME/ a bundle. The "
        "folders' names count, not those of the manifests.",
    )
    repository: RepositorySettings = RepositorySettings()
    routes: Path | None = Field(
        None,
        description="YAML file of routes: names that callers use as models, and what answers them. SIGHUP reads it "
        "again. Default: none.",
    )
    engine: EngineSettings = EngineSettings()
    encoder: EncoderSettings = EncoderSettings()
    admission: AdmissionSettings = AdmissionSettings()
    speech: SpeechSettings = SpeechSettings()
    chat: ChatSettings = ChatSettings()
    explain: ExplainSettings = ExplainSettings()
    grammar: GrammarSettings = GrammarSettings()
    limits: LimitsSettings = LimitsSettings()
    slo: SloSettings = SloSettings()
    gpu: GpuSettings = GpuSettings()
    grpc: GrpcSettings = GrpcSettings()
    vllm_engine: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="PORT=MODEL: a gRPC port of grpc.host that serves this model, and no other, to gateways that speak "
        "vLLM's VllmEngine; 0 picks a free port. May be given several times; in the environment parted by commas, in "
        "YAML a mapping of ports to models.",
    )
    http: HttpSettings = HttpSettings()
    tls: TlsSettings = TlsSettings()
    auth: AuthSettings = AuthSettings()
    require_auth: bool = Field(
        False,
        description="Refuse to start where strangers could call: on an address that is not the machine's own, without "
        "auth.tokens and tls.client_ca. Otherwise a warning says so.",
    )
    metrics: MetricsSettings = MetricsSettings()
    traces: TracesSettings = TracesSettings()
    record: RecordSettings = RecordSettings()
    lifecycle: LifecycleSettings = LifecycleSettings()
    drain_timeout_s: Annotated[float, Field(ge=0)] = Field(
        30.0, description="Seconds that running requests may go on after SIGTERM before they are failed."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="How much to log on standard error."
    )
    logs: LogsSettings = LogsSettings()
    verify_bundles: bool = Field(True, description="Check the SHA-256 of every bundle file at start.")
    bundle_keys: Path | None = Field(
        None,
        description="File of public keys (Ed25519, PEM, one after the other): bundles are served that one of them has "
        "signed (`attendant sign`), and no others. Needs verify_bundles. Default: no signatures are asked for.",
    )
    prepared_weights: Path | None = Field(
        None,
        description="Folder where weights are kept as this machine's kernels want them, for models on a processor. "
        "They are written once and mapped by every version and every server that has the same graphs: less memory, for "
        "about twice the size of the bundles on disk. Needs verify_bundles. Default: each session packs its own.",
    )
    strict: bool = Field(
        False,
        description="Exit if any bundle cannot be served. Otherwise it is listed with the cause, and the others are "
        "served.",
    )

    @field_validator("bundles", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part for part in value.split(os.pathsep) if part] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _what_is_shared_is_known(self) -> Self:
        if self.prepared_weights is not None and not self.verify_bundles:
            raise ValueError(
                "prepared_weights shares weights by the SHA-256 of their files; allowed: with verify_bundles only"
            )
        if self.bundle_keys is not None and not self.verify_bundles:
            raise ValueError("bundle_keys signs the SHA-256 of files; allowed: with verify_bundles only")
        return self

    @field_validator("vllm_engine", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        if isinstance(value, dict):
            return [f"{port}={model}" for port, model in value.items()]
        return [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("vllm_engine")
    @classmethod
    def _can_be_read(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        EnginePort.parse_all(value)
        return value

    def engine_ports(self) -> tuple[EnginePort, ...]:
        """The ports with one model each."""
        return EnginePort.parse_all(self.vllm_engine)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The sources of a construction: only what the constructor is given."""
        return (init_settings,)
