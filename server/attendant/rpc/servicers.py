"""One short method for each call of attendant.v1: convert, ask the front end, convert back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from attendant_proto.v1 import generation_pb2, generation_pb2_grpc, models_pb2, models_pb2_grpc

from attendant.frontend.front_end import FrontEnd
from attendant.frontend.generation.service import GenerationService
from attendant.frontend.tokenizer import TokenizerService
from attendant.rpc import convert
from attendant.rpc.context import of_request
from attendant.rpc.convert_chat import timely
from attendant.rpc.convert_models import model_message
from attendant.rpc.convert_repository import drain_timeout_s, meant, version_messages
from attendant.rpc.recording import CallRecording
from attendant.traffic.recorder import Recorder


class GenerationServicer(generation_pb2_grpc.GenerationServicer):
    """attendant.v1.Generation. ``recorder``: keeps some of the calls."""

    def __init__(self, service: GenerationService, recorder: Recorder | None = None) -> None:
        self._service = service
        self._recorder = recorder

    async def Generate(  # noqa: N802
        self, request: generation_pb2.GenerateRequest, context: Any
    ) -> AsyncIterator[generation_pb2.GenerateResponse]:
        """Streams the answer. Closing the stream closes the front end's, which frees the work."""
        recording = CallRecording.begin(self._recorder, request)
        call = await timely(request.chat, lambda: convert.generation_call(request))
        async with aclosing(self._service.generate(call, of_request(request))) as parts:
            async for part in parts:
                response = convert.generate_response(part)
                yield response if recording is None else recording.passes(response)
        if recording is not None:
            recording.ended()

    async def Estimate(  # noqa: N802
        self, request: generation_pb2.GenerateRequest, context: Any
    ) -> generation_pb2.EstimateResponse:
        """What would become of a request if it came now."""
        call = await timely(request.chat, lambda: convert.generation_call(request))
        return convert.estimate_response(await self._service.estimate(call, of_request(request)))


class ModelsServicer(models_pb2_grpc.ModelsServicer):
    """attendant.v1.Models."""

    def __init__(self, front_end: FrontEnd) -> None:
        self._front_end = front_end

    async def ListModels(  # noqa: N802
        self, request: models_pb2.ListModelsRequest, context: Any
    ) -> models_pb2.ListModelsResponse:
        """Every model that a bundle was named for, those that cannot be served last."""
        models = [model_message(info) for info in self._front_end.list_models()]
        return models_pb2.ListModelsResponse(models=models)

    async def GetModel(self, request: models_pb2.GetModelRequest, context: Any) -> models_pb2.Model:  # noqa: N802
        """One model by name."""
        return model_message(self._front_end.get_model(request.model))

    async def Load(self, request: models_pb2.LoadRequest, context: Any) -> models_pb2.LoadResponse:  # noqa: N802
        """Have a model of the repository served."""
        versions = await self._front_end.repository.load(*meant(request))
        return models_pb2.LoadResponse(versions=version_messages(versions))

    async def Unload(self, request: models_pb2.UnloadRequest, context: Any) -> models_pb2.UnloadResponse:  # noqa: N802
        """Take a model out of service."""
        await self._front_end.repository.unload(*meant(request), drain_timeout_s(request))
        return models_pb2.UnloadResponse()

    async def Index(self, request: models_pb2.IndexRequest, context: Any) -> models_pb2.IndexResponse:  # noqa: N802
        """Every version, loaded or not, as the folder is now."""
        await self._front_end.repository.refresh()
        return models_pb2.IndexResponse(versions=version_messages(self._front_end.index()))


class TokenizerServicer(models_pb2_grpc.TokenizerServicer):
    """attendant.v1.Tokenizer."""

    def __init__(self, service: TokenizerService) -> None:
        self._service = service

    async def Tokenize(  # noqa: N802
        self, request: models_pb2.TokenizeRequest, context: Any
    ) -> models_pb2.TokenizeResponse:
        """Text or chat to ids."""
        prompt = await timely(request.chat, lambda: convert.tokenize_prompt(request))
        tokenized = await self._service.tokenize(request.model, prompt)
        return convert.tokenize_response(tokenized)

    async def Detokenize(  # noqa: N802
        self, request: models_pb2.DetokenizeRequest, context: Any
    ) -> models_pb2.DetokenizeResponse:
        """Ids to text."""
        text = await self._service.detokenize(
            request.model, request.token_ids, keep_special_tokens=request.keep_special_tokens
        )
        return models_pb2.DetokenizeResponse(text=text)
