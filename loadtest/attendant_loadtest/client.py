"""A gRPC client for greenlets, and the times of one streamed answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
from attendant.client.access import Access
from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import generation_pb2_grpc, models_pb2, models_pb2_grpc
from grpc.experimental.gevent import init_gevent

RETRY_KEY = "retry-after-ms"


class CallFailed(Exception):
    """A call ended with an error. ``str(error)`` is its gRPC code, so that statistics count errors by code."""

    def __init__(self, error: Any) -> None:
        super().__init__(error.code().name)
        self.details: str = error.details() or ""
        trailers = dict(error.trailing_metadata() or ())
        self.retry_after_s = float(trailers.get(RETRY_KEY, 0)) / 1000


@dataclass(slots=True)
class Answer:
    """What came back, and when, in seconds from the start of the call.

    Attributes:
        first_token_s: None if none came.
        gaps_s: between messages with tokens, after the first.
        gap_tokens: of each gap, tokens in the message that ended it.
        cancelled: the client broke off.
    """

    total_s: float = 0.0
    first_token_s: float | None = None
    gaps_s: list[float] = field(default_factory=list)
    gap_tokens: list[int] = field(default_factory=list)
    num_tokens: int = 0
    num_bytes: int = 0
    cancelled: bool = False
    error: CallFailed | None = None


class GenerationClient:
    """A connection of its own to the server at ``address`` (host:port). ``access``: what is shown to it."""

    def __init__(self, address: str, access: Access | None = None) -> None:
        init_gevent()  # gRPC's waits give way to other greenlets; once done, it does nothing
        # Channels with equal options share connections otherwise: all users would be one client.
        self._channel = (access or Access()).channel(address, [("grpc.use_local_subchannel_pool", 1)])
        self._generation: Any = generation_pb2_grpc.GenerationStub(self._channel)  # type: ignore[no-untyped-call]
        self._models: Any = models_pb2_grpc.ModelsStub(self._channel)  # type: ignore[no-untyped-call]

    def get_model(self, name: str, timeout_s: float = 10.0) -> models_pb2.Model:
        """One model; for an empty name the only one, routes apart, that continues prompts. Waits for the server.

        Raises:
            CallFailed
        """
        try:
            every = self._models.ListModels(models_pb2.ListModelsRequest(), timeout=timeout_s, wait_for_ready=True)
            models = [model for model in every.models if not model.HasField("route")]
            models = [model for model in models if model.current] or models  # older servers have one version of each
            generating = [model for model in models if "generate" in model.capabilities]
            generating = [model for model in generating if "continue" in model.capabilities] or generating
            model: models_pb2.Model
            if not name and len(generating) == 1:
                (model,) = generating
            else:
                model = self._models.GetModel(models_pb2.GetModelRequest(model=name), timeout=timeout_s)
        except grpc.RpcError as error:
            raise CallFailed(error) from None
        return model

    def generate(
        self, request: pb.GenerateRequest, timeout_s: float | None, broken_off: Callable[[int], bool]
    ) -> Answer:
        """Stream one answer to its end.

        Args:
            broken_off: given the number of tokens so far, says whether to cancel now.
        """
        answer, clock = Answer(), time.perf_counter
        started = last = clock()
        call = self._generation.Generate(request, timeout=timeout_s)
        try:
            for response in call:
                answer.num_bytes += response.ByteSize()
                if count := len(response.token_ids):
                    now = clock()
                    if answer.first_token_s is None:
                        answer.first_token_s = now - started
                    else:
                        answer.gaps_s.append(now - last)
                        answer.gap_tokens.append(count)
                    last = now
                    answer.num_tokens += count
                if broken_off(answer.num_tokens):
                    answer.cancelled = True
                    call.cancel()
                    break
        except grpc.RpcError as error:
            answer.error = CallFailed(error)
        answer.total_s = clock() - started
        return answer

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()
