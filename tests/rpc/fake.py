"""A front end without models, for what only the gRPC skin decides: how errors look and how cancelling travels."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
from attendant.bundle import GeneratorManifest, Origin, Parity, SpecialTokens
from attendant.core.chat import ChatPrompt
from attendant.core.context import CallContext
from attendant.core.errors import ModelNotFound
from attendant.core.generation import Delta, Finish, GenerationCall, GenerationPart, TextPrompt
from attendant.core.request import FinishReason, Timings, Usage
from attendant.frontend.generation.recent import LoadNow
from attendant.models.info import GenerationInfo, ModelInfo, ModelState, Tokenized
from attendant.rpc.served_call import Refused
from attendant.rpc.server import RpcServer
from attendant.settings import GrpcSettings

FINISH = Finish(0, FinishReason.STOP, Usage(3, 1, 2), Timings(1, 2, 3, 4, 5), stop_token_id=7)


def manifest(**changes: Any) -> GeneratorManifest:
    values = {
        "name": "fake",
        "task": "generate",
        "architecture": "llama",
        "target": "cpu",
        "precision": "fp32",
        "graphs": {},
        "kv_layers": (),
        "context_length": 64,
        "vocab_size": 100,
        "special_tokens": SpecialTokens(),
        "files": {},
        "parity": Parity(max_abs_error=0.5, cosine=1.0, greedy_agreement=1.0, tolerance="none", cases=()),
        "source": Origin(id="test/fake"),
        "exporter_version": "0",
    }
    return GeneratorManifest.model_validate({**values, **changes})


def generator_info(shown: GeneratorManifest) -> ModelInfo:
    """What a server tells of a model that generates."""
    part = GenerationInfo(shown, context_length=32, max_running=4, max_requests=8)
    return ModelInfo(shown, shown.capabilities, ModelState.READY, generation=part)


class FakeService:
    """Answers with ``parts``; a part that is an exception is raised; the string "wait" waits for ever."""

    def __init__(self, *parts: GenerationPart | BaseException | str) -> None:
        self.parts = parts
        self.calls: list[GenerationCall] = []
        self.contexts: list[CallContext] = []
        self.closed = asyncio.Event()
        self.num_sent = 0

    async def generate(self, call: GenerationCall, context: CallContext) -> AsyncIterator[GenerationPart]:
        self.calls.append(call)
        self.contexts.append(context)
        try:
            for part in self.parts:
                if isinstance(part, BaseException):
                    raise part
                if isinstance(part, str):
                    await asyncio.Event().wait()
                    continue
                self.num_sent += 1
                yield part
                await asyncio.sleep(0)
        finally:
            self.closed.set()

    def list_models(self) -> tuple[ModelInfo, ...]:
        return (generator_info(manifest()),)

    def get_model(self, name: str) -> ModelInfo:
        if name not in ("", "fake"):
            raise ModelNotFound(name, ("fake",))
        return self.list_models()[0]

    async def tokenize(self, model: str, prompt: TextPrompt | ChatPrompt) -> Tokenized:
        if not isinstance(prompt, TextPrompt):
            raise ZeroDivisionError("the secret of the server")
        return Tokenized(tuple(prompt.text.encode()), tuple(prompt.text))

    async def detokenize(self, model: str, token_ids: Sequence[int], *, keep_special_tokens: bool) -> str:
        return bytes(token_ids).decode() + ("!" if keep_special_tokens else "")


class FakeFrontEnd:
    """Stands for :class:`attendant.frontend.front_end.FrontEnd`; ``encoding`` answers calls on encoders, ``speech``
    those on recordings, ``explain`` those that explain."""

    def __init__(
        self, generation: FakeService, encoding: object, speech: object = None, explain: object = None
    ) -> None:
        self.explain = explain
        self.generation = self.tokenizer = generation
        self.encoding = encoding
        self.speech = speech
        self.list_models = generation.list_models
        self.get_model = generation.get_model

    def busy(self) -> tuple[LoadNow, ...]:
        return ()


class NoEncoders:
    """A front end without models that encode: every call waits for ever."""

    async def never(self, call: object, context: CallContext) -> object:
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    embed = classify = classify_tokens = answer = rerank = never
    fill_mask = classify_image = classify_audio = embed_image = transcribe = never


@asynccontextmanager
async def serving(
    service: FakeService,
    settings: GrpcSettings | None = None,
    encoding: object | None = None,
    speech: object | None = None,
    explain: object | None = None,
    refused: Refused | None = None,
) -> AsyncIterator[tuple[str, RpcServer]]:
    """A real gRPC server over ``service`` on a free port of the loopback."""
    server = RpcServer(settings or GrpcSettings(port=0), refused=refused)
    address = server.bind()
    await server.start(FakeFrontEnd(service, encoding or NoEncoders(), speech, explain))  # type: ignore[arg-type]
    await server.health.set(serving=True)
    try:
        yield address, server
    finally:
        await server.stop(0)


@asynccontextmanager
async def connected(service: FakeService, settings: GrpcSettings | None = None) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to such a server."""
    async with serving(service, settings) as (address, _), grpc.aio.insecure_channel(address) as channel:
        yield channel


def run(test: Callable[[], object]) -> None:
    """Run an async test. The limit is for one that hangs."""

    async def limited() -> None:
        await asyncio.wait_for(test(), 300)  # type: ignore[arg-type]

    asyncio.run(limited())


def delta(text: str = "a", *tokens: int) -> Delta:
    return Delta(0, text, tokens or (1,))
