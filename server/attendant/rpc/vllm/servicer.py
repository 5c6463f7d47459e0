"""vllm.grpc.engine.VllmEngine of one model: convert, ask the front end, convert back."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from attendant_proto.vllm import common_pb2 as common
from attendant_proto.vllm import engine_pb2 as pb
from attendant_proto.vllm import engine_pb2_grpc

from attendant.core.caller import current_caller
from attendant.core.errors import InvalidRequest, NotOffered
from attendant.frontend.front_end import FrontEnd
from attendant.rpc.context import of_this_call
from attendant.rpc.convert_encoding import packed_floats
from attendant.rpc.vllm import convert, info
from attendant.rpc.vllm.aborts import Aborts

PIECE = 64 * 1024
"""Bytes of a file that a message has."""


class VllmEngineServicer(engine_pb2_grpc.VllmEngineServicer):
    """The calls of one port.

    Args:
        model: that all of them mean: a name, perhaps with a version.
    """

    def __init__(self, front_end: FrontEnd, model: str) -> None:
        self._front_end = front_end
        self._model = model
        self._aborts = Aborts()
        self._began = time.monotonic()
        self._last_call = 0.0

    async def Generate(  # noqa: N802
        self, request: pb.GenerateRequest, context: Any
    ) -> AsyncIterator[pb.GenerateResponse]:
        """Streams the answers, or sends each whole. Closing the stream ends the work."""
        self._last_call = time.time()
        call, answer = convert.generation_call(self._model, request), convert.Answer(request)
        with self._aborts.listed(request.request_id, of_this_call().subject) as abort:
            mine = replace(of_this_call(), abort=abort)
            async with aclosing(self._front_end.generation.generate(call, mine)) as parts:
                async for part in parts:
                    if (response := answer.response(part)) is not None:
                        yield response

    async def Embed(self, request: pb.EmbedRequest, context: Any) -> pb.EmbedResponse:  # noqa: N802
        """The vector of a text."""
        self._last_call = time.time()
        encoded = await self._front_end.encoding.embed(convert.embed_call(self._model, request), of_this_call())
        values = encoded.results[0].values
        assert values is not None, "the call asks for one vector"
        response = pb.EmbedResponse.FromString(packed_floats(pb.EmbedResponse.EMBEDDING_FIELD_NUMBER, values))
        response.prompt_tokens, response.embedding_dim = encoded.usage.num_tokens, len(values)
        return response

    async def HealthCheck(self, request: pb.HealthCheckRequest, context: Any) -> pb.HealthCheckResponse:  # noqa: N802
        """Whether the model takes calls."""
        return info.health(self._front_end.get_model(self._model))

    async def Abort(self, request: pb.AbortRequest, context: Any) -> pb.AbortResponse:  # noqa: N802
        """Ends calls of this port that the same caller made."""
        current_caller().check_model(self._model)
        self._aborts.end(request.request_ids, of_this_call().subject)
        return pb.AbortResponse()

    async def GetModelInfo(  # noqa: N802
        self, request: pb.GetModelInfoRequest, context: Any
    ) -> pb.GetModelInfoResponse:
        """What the model is."""
        return info.model_info(self._model, self._front_end.served_model(self._model))

    async def GetServerInfo(  # noqa: N802
        self, request: pb.GetServerInfoRequest, context: Any
    ) -> pb.GetServerInfoResponse:
        """How it is served."""
        load, uptime_s = self._front_end.loads.of(self._model), time.monotonic() - self._began
        return info.server_info(
            self._front_end.served_model(self._model), load, uptime_s=uptime_s, last_call=self._last_call
        )

    async def GetLoads(self, request: pb.GetLoadsRequest, context: Any) -> pb.GetLoadsResponse:  # noqa: N802
        """How busy it is."""
        if request.dp_rank != 0:
            raise InvalidRequest("dp_rank", f"is {request.dp_rank}; allowed: 0, the only one")
        return info.loads(self._front_end.loads.of(self._model))

    async def GetTokenizer(  # noqa: N802
        self, request: common.GetTokenizerRequest, context: Any
    ) -> AsyncIterator[common.GetTokenizerChunk]:
        """Its words, in pieces."""
        file = await self._front_end.words.file(self._model)
        for begin in range(0, len(file.data), PIECE):
            is_last = begin + PIECE >= len(file.data)
            yield common.GetTokenizerChunk(data=file.data[begin : begin + PIECE], sha256=file.sha256 if is_last else "")

    async def SubscribeKvEvents(  # noqa: N802
        self, request: common.SubscribeKvEventsRequest, context: Any
    ) -> AsyncIterator[common.KvEventBatch]:
        """Refused."""
        raise NotOffered("this server does not tell which blocks of keys and values it holds")
        yield

    async def FlushCache(  # noqa: N802
        self, request: common.FlushCacheRequest, context: Any
    ) -> common.FlushCacheResponse:
        """Refused."""
        raise NotOffered("this server does not empty its prefix cache; cached prompts give way to others")

    async def StartProfile(  # noqa: N802
        self, request: common.StartProfileRequest, context: Any
    ) -> common.ProfileResponse:
        """Refused."""
        raise NotOffered("this server has no profiler that calls start; its traces (traces.enabled) tell of each call")

    async def StopProfile(  # noqa: N802
        self, request: common.StopProfileRequest, context: Any
    ) -> common.ProfileResponse:
        """Refused."""
        raise NotOffered("this server has no profiler")
