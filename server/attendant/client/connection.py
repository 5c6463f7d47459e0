"""A blocking connection to one server."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import grpc
from attendant_proto.v1 import (
    encoding_pb2,
    encoding_pb2_grpc,
    explain_pb2,
    explain_pb2_grpc,
    generation_pb2,
    generation_pb2_grpc,
    models_pb2,
    models_pb2_grpc,
    speech_pb2,
    speech_pb2_grpc,
)
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from attendant.client.access import Access, CannotReach
from attendant.client.keeping import CannotKeep, Keeping
from attendant.client.older_servers import fill_parts
from attendant.traffic.calls import ask_for_receipt

REQUEST_ID_KEY = "x-request-id"  # in the trailers of every answer of a server


class CallFailed(Exception):
    """A call ended with an error; ``str(error)`` is one line for a person."""


class Connection:
    """Calls to the server at ``address`` (host:port). ``timeout_s`` limits each call; None for no limit.

    Every method raises :class:`CallFailed`.

    Args:
        keeping: takes each call that was answered, with its receipt; None: nobody does.
        access: what is shown to the server; None: nothing.
    """

    def __init__(
        self,
        address: str,
        timeout_s: float | None = None,
        keeping: Keeping | None = None,
        access: Access | None = None,
    ) -> None:
        self._address = address
        self._keeping = keeping
        self._timeout_s = timeout_s
        # The server has a limit of its own.
        self._channel = (access or Access()).channel(address, [("grpc.max_receive_message_length", -1)])
        self._generation: Any = generation_pb2_grpc.GenerationStub(self._channel)  # type: ignore[no-untyped-call]
        encoding: Any = encoding_pb2_grpc.EncodingStub(self._channel)  # type: ignore[no-untyped-call]
        self._encoding: Mapping[type[Any], Callable[..., Any]] = {
            encoding_pb2.EmbedRequest: encoding.Embed,
            encoding_pb2.ClassifyRequest: encoding.Classify,
            encoding_pb2.ClassifyTokensRequest: encoding.ClassifyTokens,
            encoding_pb2.AnswerRequest: encoding.Answer,
            encoding_pb2.RerankRequest: encoding.Rerank,
            encoding_pb2.FillMaskRequest: encoding.FillMask,
            encoding_pb2.ClassifyImageRequest: encoding.ClassifyImage,
            encoding_pb2.EmbedImageRequest: encoding.EmbedImage,
            encoding_pb2.ClassifyAudioRequest: encoding.ClassifyAudio,
            encoding_pb2.TranscribeRequest: encoding.Transcribe,
        }
        self._speech: Any = speech_pb2_grpc.SpeechStub(self._channel)  # type: ignore[no-untyped-call]
        self._explain: Any = explain_pb2_grpc.ExplainStub(self._channel)  # type: ignore[no-untyped-call]
        self._models: Any = models_pb2_grpc.ModelsStub(self._channel)  # type: ignore[no-untyped-call]
        self._tokenizer: Any = models_pb2_grpc.TokenizerStub(self._channel)  # type: ignore[no-untyped-call]

    @classmethod
    def of(cls, args: Namespace, *, keeping: bool = False) -> Connection:
        """A connection as flags ask for it. ``keeping``: calls may be kept."""
        return cls(args.server, args.timeout, Keeping.of(args) if keeping else None, access_of(args))

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def list_models(self) -> list[models_pb2.Model]:
        """Every model of the server."""
        with self._failing():
            listed = self._models.ListModels(models_pb2.ListModelsRequest(), timeout=self._timeout_s)
            return [fill_parts(model) for model in listed.models]

    def get_model(self, name: str) -> models_pb2.Model:
        """One model; the only one for an empty name."""
        with self._failing():
            model: models_pb2.Model = self._models.GetModel(
                models_pb2.GetModelRequest(model=name), timeout=self._timeout_s
            )
            return fill_parts(model)

    def find_model(
        self, name: str, tasks: Collection[str], *, speech: bool = False, attention: bool = False
    ) -> models_pb2.Model:
        """One model; for an empty name the only one that can do one of these tasks, or with ``speech`` takes sound, and
        with ``attention`` gives it.

        Of several that generate it is the only one that continues a prompt. Routes have to be named.

        Raises:
            CallFailed: there is none, or there are several.
        """
        if name:
            return self.get_model(name)
        every = self.list_models()
        models = [model for model in every if not model.HasField("route")]
        known = [model for model in models if model.current] or models  # older servers have one version of each
        wanted = {*tasks, "speech"} if speech else set(tasks)
        fitting = [model for model in known if not wanted.isdisjoint(model.capabilities)]
        if attention:
            fitting = [model for model in fitting if "attention" in model.capabilities]
        if "generate" in tasks:
            fitting = [model for model in fitting if "continue" in model.capabilities] or fitting
        if len(fitting) > 1:
            raise CallFailed(f"this server has several models for it; name one with --model: {_names(fitting)}")
        if not fitting:
            what = " or ".join(map(repr, tasks))
            what += " that gives attention" if attention else ""
            raise CallFailed(f"no model for task {what} is loaded; loaded models: {_names(known)}")
        return fitting[0]

    def change(self, request: Any) -> Any:
        """The response to a request about which models there are: load, unload, index."""
        calls = {
            models_pb2.LoadRequest: self._models.Load,
            models_pb2.UnloadRequest: self._models.Unload,
            models_pb2.IndexRequest: self._models.Index,
        }
        with self._failing():
            return calls[type(request)](request, timeout=self._timeout_s)

    def encode(self, request: Any) -> Any:
        """The response to a request of attendant.v1.Encoding, whose type says which call it is."""
        self._prepare(request)
        with self._failing():
            response = self._encoding[type(request)](request, timeout=self._timeout_s)
            self.keep(request, (response,))
            return response

    def generate(self, request: generation_pb2.GenerateRequest) -> Generator[generation_pb2.GenerateResponse]:
        """The answer as it comes. Leaving the iterator early cancels the call."""
        self._prepare(request)
        with self._failing():
            call = self._generation.Generate(request, timeout=self._timeout_s)
            kept: list[generation_pb2.GenerateResponse] = []
            try:
                for response in call:
                    if self._keeping is not None:
                        kept.append(response)
                    yield response
                self.keep(request, kept)
            finally:
                call.cancel()

    def estimate(self, request: generation_pb2.GenerateRequest) -> generation_pb2.EstimateResponse:
        """What would become of a request if it came now, with this connection's time for calls as its deadline."""
        with self._failing():
            told: generation_pb2.EstimateResponse = self._generation.Estimate(request, timeout=self._timeout_s)
            return told

    def transcribe(self, request: speech_pb2.SpeechRequest) -> speech_pb2.SpeechResponse:
        """What is said in a recording."""
        self._prepare(request)
        with self._failing():
            response: speech_pb2.SpeechResponse = self._speech.Transcribe(request, timeout=self._timeout_s)
            self.keep(request, (response,))
            return response

    def stream_transcribe(
        self, requests: Iterable[speech_pb2.SpeechStreamRequest]
    ) -> Generator[speech_pb2.SpeechStreamResponse]:
        """The same while ``requests`` come, which another thread fetches and which must not raise. Leaving the iterator
        early cancels the call."""
        with self._failing():
            call = self._speech.StreamTranscribe(iter(requests), timeout=self._timeout_s)
            try:
                yield from call
            finally:
                call.cancel()

    def tokenize(self, request: models_pb2.TokenizeRequest) -> models_pb2.TokenizeResponse:
        """The tokens that a prompt becomes."""
        with self._failing():
            response: models_pb2.TokenizeResponse = self._tokenizer.Tokenize(request, timeout=self._timeout_s)
            return response

    def attention(self, request: explain_pb2.AttentionRequest) -> Generator[explain_pb2.AttentionResponse]:
        """What a model looked at, layer by layer. Leaving the iterator early cancels the call."""
        with self._failing():
            call = self._explain.Attention(request, timeout=self._timeout_s)
            try:
                yield from call
            finally:
                call.cancel()

    def attribute(self, request: explain_pb2.AttributeRequest) -> explain_pb2.AttributeResponse:
        """What an answer hung on."""
        with self._failing():
            response: explain_pb2.AttributeResponse = self._explain.Attribute(request, timeout=self._timeout_s)
            return response

    def similarity(self, request: explain_pb2.SimilarityRequest) -> explain_pb2.SimilarityResponse:
        """How alike words in several contexts are."""
        with self._failing():
            response: explain_pb2.SimilarityResponse = self._explain.Similarity(request, timeout=self._timeout_s)
            return response

    def _prepare(self, request: Any) -> None:
        if self._keeping is not None:
            ask_for_receipt(request)

    def keep(self, request: Any, responses: Iterable[Any]) -> None:
        """Hand a call that was answered to who keeps them, if somebody does."""
        if self._keeping is not None:
            with self._failing():
                self._keeping.keep(request, responses)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            raise CallFailed(_describe(error, self._address)) from None
        except CannotKeep as error:
            raise CallFailed(str(error)) from None


def access_of(args: Namespace) -> Access:
    """What is shown to servers, as flags ask for it. Raises CallFailed."""
    try:
        return Access.of(args)
    except CannotReach as error:
        raise CallFailed(str(error)) from None


def _describe(error: Any, address: str) -> str:
    code, details = error.code(), " ".join((error.details() or "").split())
    if code is grpc.StatusCode.UNAVAILABLE and REQUEST_ID_KEY not in dict(error.trailing_metadata() or ()):
        # Not a server's answer but gRPC's: "failed to connect to all addresses; last error: ...remote host: refused".
        reason = details.rpartition("last error: ")[2].rpartition("remote host: ")[2]
        return f"cannot reach a server at {address}: {reason}"
    return f"{code.name}: {details}{''.join(_extras(error))}"


def _names(models: Iterable[models_pb2.Model]) -> str:
    return ", ".join(sorted(repr(model.name) for model in models)) or "none"


def _extras(error: Any) -> Iterator[str]:
    try:
        status = rpc_status.from_call(error)
    except ValueError:
        return
    for packed in status.details if status is not None else ():
        if packed.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest()
            packed.Unpack(bad)
            fields = ", ".join(json.dumps(violation.field) for violation in bad.field_violations)
            yield f" [field {fields}]"
        elif packed.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            packed.Unpack(retry)
            yield f" [retry in {retry.retry_delay.ToNanoseconds() / 1e9:.1f} s]"
