"""The sections of the settings: each is frozen and goes to the object that needs it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import ByteSize, Field, field_validator, model_validator
from pydantic_settings import NoDecode

from attendant.core.objectives import ObjectivesByModel
from attendant.settings.section import Section


class EncoderSettings(Section):
    """Dynamic batching of models that encode (classify, embed, ...), for each model."""

    max_batch_tokens: int | None = Field(
        None,
        ge=1,
        description="Tokens of a batch together, with the padding where a model needs any; an image counts as one for "
        "each 16 x 16 pixels, audio as one for each frame. Default: 2048 on a CPU, 16384 on a GPU.",
    )
    max_batch_size: Annotated[int, Field(ge=1, le=4096)] | None = Field(
        None, description="Rows (texts, images, recordings) of a batch. Default: 64 on a CPU, 256 on a GPU."
    )
    preferred_batch_size: int | None = Field(
        None, ge=1, description="Rows that max_queue_delay_s waits for. Default: as many as a batch may have."
    )
    max_queue_delay_s: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = Field(
        0.0,
        description="Seconds that a row waits at most for others while nothing runs. 0: a batch starts at once, and "
        "batches form by themselves under load.",
    )
    max_queue: Annotated[int, Field(ge=0)] = Field(
        16_384, description="Rows that may wait besides those that run; more are refused with RESOURCE_EXHAUSTED."
    )
    max_queue_tokens: int | None = Field(
        None,
        ge=1,
        description="Tokens that may wait besides those of a batch, counted as max_batch_tokens counts them; a call "
        "that brings more is refused with RESOURCE_EXHAUSTED, unless nothing waits or runs. Default: any number.",
    )
    threads: int | None = Field(
        None, ge=1, description="Threads of a model run. Default: the processors this process may use."
    )
    spinning: bool = Field(
        True, description="Let idle threads of a model run spin: faster runs, at the price of idle processor time."
    )

    @model_validator(mode="after")
    def _what_is_preferred_is_allowed(self) -> Self:
        self.check_preferred(self.max_batch_size)
        return self

    def check_preferred(self, max_batch_size: int | None) -> None:
        """Check what is preferred against what is allowed.

        Raises:
            ValueError: a batch of the preferred size would not be allowed.
        """
        preferred = self.preferred_batch_size
        if preferred is not None and max_batch_size is not None and preferred > max_batch_size:
            raise ValueError(f"preferred_batch_size is {preferred}; allowed: at most max_batch_size, {max_batch_size}")


class SpeechSettings(Section):
    """Models that write what they hear."""

    max_duration_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        14_400.0, description="Longest recording, in seconds; longer ones are refused with INVALID_ARGUMENT."
    )


class ChatSettings(Section):
    """Conversations, and the templates that write them."""

    given_templates: bool = Field(
        False,
        description="Render templates that come with calls. They are programs, and run one at a time in a process "
        "of their own, within limits.",
    )
    template_timeout_s: Annotated[float, Field(gt=0, le=60, allow_inf_nan=False)] = Field(
        1.0, description="Processor time that a template of a call may take, in seconds."
    )
    max_template_characters: Annotated[int, Field(ge=1)] = Field(
        2**18, description="Characters of a template of a call."
    )


class ExplainSettings(Section):
    """The service Explain: what models looked at, and what their answers hung on."""

    enabled: bool = Field(True, description="Serve it.")
    share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.04, description="Time that it may take of a model while others wait, as a share of what they take."
    )
    max_weights: Annotated[int, Field(ge=1)] = Field(
        2**25, description="Attention weights that a call may ask for (4 bytes each); more end with INVALID_ARGUMENT."
    )
    max_tokens: Annotated[int, Field(ge=1)] = Field(
        2048, description="Tokens, prompt and answer together, of what is looked at."
    )
    max_parts: Annotated[int, Field(ge=1)] = Field(
        256, description="Parts of a text that Attribute leaves out in turn: each is a call of the model."
    )
    answer_tokens: Annotated[int, Field(ge=1)] = Field(
        32, description="Tokens of a model's answer at most, where a call neither gives one nor says how long."
    )


class GrammarSettings(Section):
    """Structured output: what the grammars that calls send may take."""

    max_bytes: Annotated[ByteSize, Field(ge=16)] = Field(
        ByteSize(128 * 1024), description="Size of a grammar's text; larger ones are refused with INVALID_ARGUMENT."
    )
    max_compile_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        5.0,
        description="Seconds that a call may wait while one is compiled; then the call is refused with "
        "INVALID_ARGUMENT. The grammar is compiled to its end, and there for later calls.",
    )
    max_mask_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        0.05,
        description="Processor time that it may take to say which tokens may be next, in seconds, and a tenth of it in "
        "the mean of an answer; an answer that takes more ends with INVALID_ARGUMENT.",
    )
    cache_size: Annotated[int, Field(ge=1)] = Field(
        256, description="Grammars, for each model, that are kept for the next call with the same one."
    )


class SloSettings(Section):
    """What is promised of models, for counters and alerts."""

    objectives: str = Field(
        "ttft 1s p99, itl 100ms p99",
        description="Objectives, parted by commas, each [MODEL:] ttft, itl or latency, a time, a share. "
        "ttft 300ms p99: 99 % of first tokens come within 300 ms of the request; itl: of further tokens, after the one "
        "before; latency: of results of models that encode, after the call. One of a model counts in place of the one "
        "of all; empty for none.",
    )

    @field_validator("objectives", mode="before")
    @classmethod
    def _joined(cls, value: object) -> object:
        return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value

    @field_validator("objectives")
    @classmethod
    def _can_be_read(cls, value: str) -> str:
        ObjectivesByModel.parse(value)
        return value

    def by_model(self) -> ObjectivesByModel:
        """The objectives, as the metrics take them."""
        return ObjectivesByModel.parse(self.objectives)


class GpuSettings(Section):
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


class GrpcSettings(Section):
    """The gRPC front."""

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for every interface.")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(50051, description="Port to listen on; 0 picks a free one.")
    max_receive_bytes: ByteSize = Field(
        ByteSize(64 * 1024 * 1024),
        description="Largest request message; larger ones are refused with RESOURCE_EXHAUSTED.",
    )
    max_send_bytes: ByteSize = Field(
        ByteSize(64 * 1024 * 1024),
        description="Largest response message; a call that would send a larger one ends with RESOURCE_EXHAUSTED.",
    )
    max_metadata_bytes: Annotated[ByteSize, Field(ge=1024, le=2**24)] = Field(
        ByteSize(8 * 1024),
        description="Size of a call's metadata, with 32 bytes for each entry; more is refused with RESOURCE_EXHAUSTED.",
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
    load_trailers: bool = Field(
        True, description="End each call with how busy the server is, for balancers (ORCA: endpoint-load-metrics-bin)."
    )
    max_connection_age_s: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = Field(
        None,
        description="Seconds after which a client is told to open another connection, give or take a tenth, so that "
        "balancers see new replicas. Default: never.",
    )
    max_connection_age_grace_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        None, description="Seconds that calls on a connection of that age may go on. Default: until they end."
    )

    @model_validator(mode="after")
    def _a_grace_has_an_age(self) -> Self:
        if self.max_connection_age_grace_s is not None and self.max_connection_age_s is None:
            raise ValueError("max_connection_age_grace_s needs max_connection_age_s: no connection is too old without")
        return self


class RecordSettings(Section):
    """Calls that are kept in a file, for `attendant replay`. It has what callers send and get, texts included."""

    file: Path | None = Field(
        None,
        description="File that answered calls of gRPC and of /v2 are added to, with their receipts. Default: none.",
    )
    share: Annotated[float, Field(ge=0, le=1)] = Field(1.0, description="Share of the calls that are kept.")
    max_bytes: Annotated[ByteSize, Field(ge=1024)] = Field(
        ByteSize(64 * 1024 * 1024), description="Size of a file; then it becomes FILE.1, and FILE.1 becomes FILE.2."
    )
    max_files: Annotated[int, Field(ge=1, le=1000)] = Field(
        4, description="Files that are kept, the one that grows included; older ones are deleted."
    )


class MetricsSettings(Section):
    """What /metrics says besides."""

    vllm_names: bool = Field(
        False, description="Write what vLLM has a name for under that name, too, for what is made for vLLM."
    )
    triton_names: bool = Field(
        False, description="Write what Triton has a name for under that name, too, for what is made for Triton."
    )
    most_tenants: Annotated[int, Field(ge=0, le=1000)] = Field(
        32, description="Callers, the first that come, whose share of each model is told by name; others share a name."
    )
