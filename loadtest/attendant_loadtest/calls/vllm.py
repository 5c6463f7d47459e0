"""Calls of vLLM's gRPC contract, on the ports that a server has for gateways."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attendant_proto.vllm import common_pb2, engine_pb2_grpc
from attendant_proto.vllm import engine_pb2 as pb

from attendant_loadtest.calls.outcome import parts_of
from attendant_loadtest.calls.rpc import Rpc
from attendant_loadtest.calls.subject import Models, Subject
from attendant_loadtest.calls.user import CallingUser

SERVICE = "vllm.grpc.engine.VllmEngine"
GENERATES, EMBEDS = "generate", "embed"


def _generate(ask: Subject) -> pb.GenerateRequest:
    return pb.GenerateRequest(
        request_id=f"{ask.rng.getrandbits(64):x}",
        tokenized=pb.TokenizedInput(input_ids=ask.ids()),
        sampling_params=pb.SamplingParams(max_tokens=ask.max_tokens),
        stream=True,
    )


def _embed(ask: Subject) -> pb.EmbedRequest:
    return pb.EmbedRequest(tokenized=pb.TokenizedInput(input_ids=ask.ids()))


class VllmUser(CallingUser):
    """As a gateway calls the ports of ``--vllm-host``."""

    calls = (
        Rpc(f"{SERVICE}/Generate", _generate, GENERATES),
        Rpc(f"{SERVICE}/Embed", _embed, EMBEDS),
        Rpc(f"{SERVICE}/HealthCheck", lambda ask: pb.HealthCheckRequest()),
        Rpc(f"{SERVICE}/Abort", lambda ask: pb.AbortRequest(request_ids=["nobody's"])),
        Rpc(f"{SERVICE}/GetModelInfo", lambda ask: pb.GetModelInfoRequest()),
        Rpc(f"{SERVICE}/GetServerInfo", lambda ask: pb.GetServerInfoRequest()),
        Rpc(f"{SERVICE}/GetLoads", lambda ask: pb.GetLoadsRequest()),
        Rpc(f"{SERVICE}/GetTokenizer", lambda ask: common_pb2.GetTokenizerRequest()),
    )

    def servers(self) -> Iterator[tuple[str, Models]]:
        """Each port has one model, which generates or embeds."""
        for address in parts_of(self.environment.parsed_options.vllm_host):
            with self.access.channel(address, []) as channel:
                stub: Any = engine_pb2_grpc.VllmEngineStub(channel)  # type: ignore[no-untyped-call]
                info = self.asked("GetModelInfo", stub.GetModelInfo, pb.GetModelInfoRequest())
            yield address, Models({info.served_model_name: frozenset([GENERATES if info.is_generation else EMBEDS])})
