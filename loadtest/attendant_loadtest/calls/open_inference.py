"""Calls of the Open Inference Protocol, over gRPC and over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attendant_proto.openinference import inference_pb2 as pb

from attendant_loadtest.calls.route import Route
from attendant_loadtest.calls.rpc import Rpc
from attendant_loadtest.calls.subject import GENERATES, READS, Subject
from attendant_loadtest.calls.user import CallingUser

SERVICE = "inference.GRPCInferenceService"


def _infer(ask: Subject) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name=ask.model)
    texts = [text.encode() for text in ask.texts()]
    request.inputs.add(name="text", datatype="BYTES", shape=[len(texts)]).contents.bytes_contents.extend(texts)
    request.parameters["truncate"].bool_param = True
    return request


def _generate(ask: Subject, stream: bool = False) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name=ask.model)
    request.inputs.add(name="text_input", datatype="BYTES", shape=[1]).contents.bytes_contents.append(
        ask.text().encode()
    )
    request.inputs.add(name="stream", datatype="BOOL", shape=[1]).contents.bool_contents.append(stream)
    request.parameters["max_tokens"].int64_param = ask.max_tokens
    return request


def _of_stream(response: Any) -> str:
    return "error of a stream" if response.error_message else ""


def _rpc(method: str, asked: Callable[[Subject], Any], needs: str = "", **more: Any) -> Rpc:
    return Rpc(f"{SERVICE}/{method}", asked, needs, **more)


class OpenInferenceUser(CallingUser):
    """As Triton's and KServe's clients call over gRPC."""

    calls = (
        _rpc("ServerLive", lambda ask: pb.ServerLiveRequest()),
        _rpc("ServerReady", lambda ask: pb.ServerReadyRequest()),
        _rpc("ServerMetadata", lambda ask: pb.ServerMetadataRequest()),
        _rpc("ModelReady", lambda ask: pb.ModelReadyRequest(name=ask.model), READS),
        _rpc("ModelMetadata", lambda ask: pb.ModelMetadataRequest(name=ask.model), READS),
        _rpc("ModelConfig", lambda ask: pb.ModelConfigRequest(name=ask.model), READS),
        _rpc("ModelStatistics", lambda ask: pb.ModelStatisticsRequest(name=ask.model), READS),
        _rpc("ModelInfer", _infer, "classify|embed"),
        _rpc("ModelInfer", _generate, GENERATES, note="generate"),
        _rpc(
            "ModelStreamInfer",
            lambda ask: [_infer(ask) for _ in range(4)],
            "classify|embed",
            refusal=_of_stream,
            answers=True,
        ),
        _rpc(
            "ModelStreamInfer",
            lambda ask: [_generate(ask, stream=True)],
            GENERATES,
            note="generate",
            refusal=_of_stream,
        ),
        _rpc("RepositoryIndex", lambda ask: pb.RepositoryIndexRequest()),
        _rpc("TraceSetting", lambda ask: pb.TraceSettingRequest()),
        _rpc("LogSettings", lambda ask: pb.LogSettingsRequest()),
    )


def _tensors(ask: Subject) -> dict[str, Any]:
    texts = ask.texts()
    text = {"name": "text", "datatype": "BYTES", "shape": [len(texts)], "data": texts}
    return {"inputs": [text], "parameters": {"truncate": True}}


def _flat(ask: Subject) -> dict[str, Any]:
    return {"text_input": ask.text(), "parameters": {"max_tokens": ask.max_tokens}}


def _flat_stream(ask: Subject) -> dict[str, Any]:
    return {**_flat(ask), "stream": True}


def _of_models() -> tuple[Route, ...]:
    """What each model has, with a version in the path and without."""
    found: list[Route] = []
    for model in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        found += [
            Route(model, needs=READS),
            *(Route(f"{model}/{what}", needs=READS) for what in ("ready", "config", "stats", "trace/setting")),
            Route(f"{model}/infer", _tensors, "classify|embed"),
            Route(f"{model}/generate", _flat, GENERATES),
            Route(f"{model}/generate_stream", _flat_stream, GENERATES, streams=True),
        ]
    return tuple(found)


class OpenInferenceHttpUser(CallingUser):
    """As Triton's and KServe's clients call over HTTP."""

    calls = (
        *(Route(f"/v2{path}") for path in ("", "/health/live", "/health/ready", "/models", "/models/stats")),
        *(Route(f"/v2{path}") for path in ("/logging", "/trace/setting")),
        Route("/v2/repository/index", lambda ask: {}),
        *_of_models(),
    )
