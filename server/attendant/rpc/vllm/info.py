"""What a model is, how it is served and how busy it is, as messages of vllm.grpc.engine."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from attendant_proto.vllm import engine_pb2 as pb

from attendant import __version__
from attendant.bundle import TextInput
from attendant.frontend.generation.recent import LoadNow
from attendant.models.failed import FailedModel
from attendant.models.info import ModelInfo

SERVER_TYPE = "vllm-grpc"
NO_HUB = "attendant:"
"""What the tokenizer's address begins with. Gateways look for it on a hub of models before they ask for GetTokenizer,
and a name that the hub knows, too, may have other words there."""
_DEFAULTS = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")


def health(info: ModelInfo | FailedModel) -> pb.HealthCheckResponse:
    """Whether a model takes calls, and why not."""
    if isinstance(info, FailedModel):
        return pb.HealthCheckResponse(message=str(info.refusal()))
    if info.ready:
        return pb.HealthCheckResponse(healthy=True)
    why = f": {info.cause}" if info.cause else ""
    return pb.HealthCheckResponse(message=f"model {info.name!r} is {info.state.value}{why}")


def model_info(served_name: str, info: ModelInfo) -> pb.GetModelInfoResponse:
    """What a model is. ``served_name``: as the port calls it."""
    message = pb.GetModelInfoResponse(
        model_path=info.manifest.source.id,
        served_model_name=served_name,
        tokenizer_path=f"{NO_HUB}{served_name}",
        model_type=info.manifest.architecture,
    )
    part = info.generation
    if part is None:
        for encoding in info.encodings:
            spec = encoding.manifest.input
            message.vocab_size = encoding.vocab_size
            message.max_context_length = spec.max_tokens if isinstance(spec, TextInput) else 0
        message.max_req_input_len = message.max_context_length
        return message
    special = part.manifest.special_tokens
    message.is_generation = True
    message.vocab_size = part.manifest.vocab_size
    message.max_context_length = part.context_length
    message.max_req_input_len = part.context_length - 1
    message.eos_token_ids.extend(special.eos)
    message.bos_token_id = special.bos or 0
    message.pad_token_id = special.pad or 0
    settings = part.manifest.settings
    own = {name: getattr(settings, name) for name in _DEFAULTS}
    message.default_sampling_params_json = json.dumps(own)
    return message


def server_info(info: ModelInfo, load: LoadNow, *, uptime_s: float, last_call: float) -> pb.GetServerInfoResponse:
    """How a model is served. ``last_call``: when the last one came, in seconds since 1970."""
    layers = info.generation.manifest.kv_layers if info.generation is not None else ()
    return pb.GetServerInfoResponse(
        active_requests=load.running + load.waiting,
        last_receive_timestamp=last_call,
        uptime_seconds=uptime_s,
        server_type=SERVER_TYPE,
        data_parallel_size=1,
        kv_cache_dtype=layers[0].dtype if layers else "",
        block_size=load.block_size,
        model_dtype=info.manifest.precision,
        max_num_seqs=load.max_running,
    )


def loads(load: LoadNow) -> pb.GetLoadsResponse:
    """How busy a model is."""
    scheduler = pb.SchedulerLoad(
        num_running_reqs=load.running,
        num_waiting_reqs=load.waiting,
        num_total_reqs=load.running + load.waiting,
        num_used_tokens=load.kv_used_tokens,
        max_total_num_tokens=load.kv_capacity_tokens,
        token_usage=load.kv_usage,
        gen_throughput=load.tokens_per_s,
        cache_hit_rate=load.cached_share,
        utilization=load.kv_usage,
        max_running_requests=load.max_running,
        num_waiting_uncached_tokens=load.waiting_tokens,
    )
    now = datetime.now(UTC).isoformat()
    return pb.GetLoadsResponse(timestamp=now, version=__version__, dp_rank_count=1, loads=[scheduler])
