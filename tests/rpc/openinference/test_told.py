"""What the protocol tells of the server and its models, and what of it can be changed by calls."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from attendant.bundle import EmbeddingHead
from attendant.core.context import CallContext
from attendant.core.errors import InvalidRequest
from attendant.core.repository import ModelVersion, VersionState
from attendant.core.stages import Arrival
from attendant.rpc.openinference.log_settings import log_settings
from attendant.rpc.openinference.repository import index_response, named
from attendant.rpc.openinference.trace_settings import trace_settings
from attendant_proto.openinference import inference_pb2 as pb
from attendant_proto.openinference import model_config_pb2 as config_pb

from tests.rpc.openinference.helpers import Server, refused, request, tensor, with_server
from tests.synthetic_encoder import make_text_encoder

PARAMETER = pb.ModelRepositoryParameter
NOT_FOUND = grpc.StatusCode.NOT_FOUND


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    head = EmbeddingHead(pooling="mean", dimensions=4, prompts={"query": "find: "})
    return make_text_encoder(tmp_path_factory.mktemp("told") / "vectors", "embed", embedding=head)


def test_server_and_models(vectors: Path) -> None:
    async def test(server: Server) -> None:
        stub = server.stub
        assert (await stub.ServerLive(pb.ServerLiveRequest())).live
        assert (await stub.ServerReady(pb.ServerReadyRequest())).ready
        told = await stub.ServerMetadata(pb.ServerMetadataRequest())
        assert told.name == "attendant"
        assert {"model_repository", "model_configuration", "statistics", "logging"} <= set(told.extensions)
        assert "trace" not in told.extensions
        assert (await stub.ModelReady(pb.ModelReadyRequest(name="vectors"))).ready
        assert not (await stub.ModelReady(pb.ModelReadyRequest(name="none"))).ready
        await server.rpc.health.set(serving=False)
        assert not (await stub.ServerReady(pb.ServerReadyRequest())).ready

    with_server(test, vectors)


def test_metadata_and_configuration(vectors: Path) -> None:
    async def test(server: Server) -> None:
        told = await server.stub.ModelMetadata(pb.ModelMetadataRequest(name="vectors"))
        assert (told.name, told.platform, list(told.versions)) == ("vectors", "onnxruntime_onnx", ["1"])
        inputs = {each.name: (each.datatype, list(each.shape)) for each in told.inputs}
        assert inputs["text"] == ("BYTES", [-1])
        assert inputs["input_ids"] == ("INT64", [-1, -1])
        outputs = {each.name: (each.datatype, list(each.shape)) for each in told.outputs}
        assert outputs["embedding"] == ("FP32", [-1, -1])
        code, words = await refused(server.stub.ModelMetadata(pb.ModelMetadataRequest(name="none")))
        assert (code, words.startswith("no model named 'none'")) == (NOT_FOUND, True)

        config = (await server.stub.ModelConfig(pb.ModelConfigRequest(name="vectors"))).config
        assert (config.max_batch_size, config.HasField("dynamic_batching")) == (0, True)
        assert not config.model_transaction_policy.decoupled
        text = next(each for each in config.input if each.name == "text")
        assert (text.data_type, list(text.dims), text.optional) == (config_pb.TYPE_STRING, [-1], True)
        assert config.parameters["dimensions"].string_value == "4"
        assert config.parameters["tasks"].string_value == "embed"
        assert config.instance_group[0].kind == config_pb.ModelInstanceGroup.KIND_CPU
        assert (await refused(server.stub.ModelConfig(pb.ModelConfigRequest(name="none"))))[0] is NOT_FOUND

    with_server(test, vectors)


def test_statistics_are_those_of_the_counters(vectors: Path) -> None:
    async def test(server: Server) -> None:
        stub = server.stub
        none = (await stub.ModelStatistics(pb.ModelStatisticsRequest())).model_stats[0]
        assert (none.name, none.inference_count, none.last_inference) == ("vectors", 0, 0)
        for texts in (["a"], ["a", "b"]):
            await stub.ModelInfer(request("vectors", tensor("text", texts, "BYTES")))
        await refused(stub.ModelInfer(request("vectors", tensor("text", [""] * 0, "BYTES"))))
        found = (await stub.ModelStatistics(pb.ModelStatisticsRequest(name="vectors"))).model_stats[0]
        assert (found.name, found.version, found.inference_count) == ("vectors", "1", 3)
        assert 2 <= found.execution_count <= 3
        assert found.last_inference > 1_700_000_000_000
        assert (found.inference_stats.success.count, found.inference_stats.fail.count) == (2, 1)
        assert found.inference_stats.compute_infer.ns > 0
        assert found.inference_stats.success.ns >= found.inference_stats.compute_infer.ns
        page = server.front_end._metrics.render()[0].decode()
        assert 'attendant_encoder_batch_rows_sum{model_name="vectors",task="embed"} 3' in page
        assert (await refused(stub.ModelStatistics(pb.ModelStatisticsRequest(name="none"))))[0] is NOT_FOUND

    with_server(test, vectors)


def test_index(vectors: Path) -> None:
    async def test(server: Server) -> None:
        found = await server.stub.RepositoryIndex(pb.RepositoryIndexRequest())
        assert [(each.name, each.version, each.state, each.reason) for each in found.models] == [
            ("vectors", "1", "READY", "")
        ]
        code, words = await refused(server.stub.RepositoryIndex(pb.RepositoryIndexRequest(repository_name="x")))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert words.startswith("repository_name is 'x'; allowed: empty")
        for call in (
            server.stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="vectors")),
            server.stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name="vectors")),
        ):
            code, words = await refused(call)
            assert code is grpc.StatusCode.FAILED_PRECONDITION
            assert words.startswith("models ")

    with_server(test, vectors)


def test_states_of_versions() -> None:
    index = tuple(ModelVersion("m", str(number), state, "why") for number, state in enumerate(VersionState))
    told = index_response(pb.RepositoryIndexRequest(), index).models
    assert [each.state for each in told] == ["UNAVAILABLE", "LOADING", "READY", "UNLOADING", "UNAVAILABLE"]
    assert told[4].reason == "why"
    ready = index_response(pb.RepositoryIndexRequest(ready=True), index).models
    assert [each.version for each in ready] == ["2"]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (pb.RepositoryModelLoadRequest(), "model_name is empty"),
        (
            pb.RepositoryModelLoadRequest(model_name="m", parameters={"config": PARAMETER(string_param="{}")}),
            "parameters[config] is set; allowed: none",
        ),
        (
            pb.RepositoryModelUnloadRequest(
                model_name="m", parameters={"unload_dependents": PARAMETER(bool_param=True)}
            ),
            "parameters[unload_dependents] is set; allowed: false",
        ),
    ],
)
def test_what_loading_does_not_know(message: Any, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        named(message)
    assert str(caught.value).startswith(words)


def test_a_version_may_be_named() -> None:
    falsely = {"unload_dependents": PARAMETER(bool_param=False)}
    assert named(pb.RepositoryModelUnloadRequest(model_name="m@2", parameters=falsely)) == ("m", "2")


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    found = logging.getLogger("tests.openinference.told")
    found.setLevel(logging.INFO)
    yield found
    found.setLevel(logging.NOTSET)


def setting(**values: Any) -> pb.LogSettingsRequest:
    request = pb.LogSettingsRequest()
    for name, value in values.items():
        kind = {bool: "bool_param", int: "uint32_param", str: "string_param"}[type(value)]
        setattr(request.settings[name], kind, value)
    return request


@pytest.mark.parametrize(
    ("values", "level"),
    [
        ({}, logging.INFO),
        ({"log_verbose_level": 1}, logging.DEBUG),
        ({"log_info": False}, logging.WARNING),
        ({"log_warning": False}, logging.ERROR),
        ({"log_error": False}, logging.CRITICAL),
        ({"log_error": True}, logging.INFO),
        ({"log_info": False, "log_warning": True}, logging.WARNING),
        ({"log_verbose_level": 0, "log_info": True}, logging.INFO),
        ({"log_format": "default", "log_file": ""}, logging.INFO),
    ],
)
def test_the_log_changes(logger: logging.Logger, values: dict[str, Any], level: int) -> None:
    told = log_settings(setting(**values), logger, everyone=True).settings
    assert logger.level == level
    assert told["log_info"].bool_param == (level <= logging.INFO)
    assert told["log_warning"].bool_param == (level <= logging.WARNING)
    assert told["log_error"].bool_param == (level <= logging.ERROR)
    assert told["log_verbose_level"].uint32_param == (level <= logging.DEBUG)
    log_settings(setting(log_verbose_level=1), logger, everyone=True)
    assert logger.level == logging.DEBUG


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"log_colour": True}, "settings[log_colour] is not known; allowed: log_verbose_level, log_info"),
        ({"log_file": "x"}, "settings[log_file] is 'x'; allowed: ''"),
        ({"log_format": "ISO8601"}, "settings[log_format] is 'ISO8601'; allowed: 'default'"),
        ({"log_info": 1}, "settings[log_info] is '1'; allowed: true or false"),
        ({"log_verbose_level": True}, "settings[log_verbose_level] is 'True'; allowed: 0, or 1"),
        ({"log_info": True, "log_error": False}, "settings[log_error] is off beside log_info, which is on"),
    ],
)
def test_what_the_log_does_not_know(logger: logging.Logger, values: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        log_settings(setting(**values), logger, everyone=True)
    assert str(caught.value).startswith(words)
    assert logger.level == logging.INFO


def test_the_log_over_the_wire(vectors: Path) -> None:
    async def test(server: Server) -> None:
        ours = logging.getLogger("attendant")
        before = ours.level
        try:
            await server.stub.LogSettings(setting(log_verbose_level=1))
            assert ours.level == logging.DEBUG
            told = await server.stub.LogSettings(setting(log_verbose_level=0))
            assert (ours.level, told.settings["log_info"].bool_param) == (logging.INFO, True)
        finally:
            ours.setLevel(before)
        code, words = await refused(server.stub.TraceSetting(tracing(trace_rate="10")))
        assert (code, words) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "no calls are followed: traces.enabled is false",
        )
        told = await server.stub.TraceSetting(pb.TraceSettingRequest())
        assert list(told.settings["trace_level"].value) == ["OFF"]

    with_server(test, vectors)


class FakeTracer:
    share = 1.0

    def keep(self, share: float) -> None:
        self.share = share

    def begin(self, context: CallContext, arrival: Arrival) -> CallContext:
        raise AssertionError("nobody calls")


def tracing(**values: str) -> pb.TraceSettingRequest:
    request = pb.TraceSettingRequest()
    for name, value in values.items():
        request.settings[name].value.append(value)
    return request


def test_the_rate_of_traces_changes() -> None:
    tracer = FakeTracer()
    told = trace_settings(tracing(trace_rate="4", trace_mode="opentelemetry"), tracer, everyone=True).settings
    assert (tracer.share, list(told["trace_rate"].value), list(told["trace_level"].value)) == (
        *(0.25, ["4"]),
        ["TIMESTAMPS"],
    )
    assert list(
        trace_settings(pb.TraceSettingRequest(model_name="m"), tracer, everyone=True).settings["trace_rate"].value
    ) == ["4"]
    told = trace_settings(tracing(trace_level="OFF"), tracer, everyone=True).settings
    assert (tracer.share, list(told["trace_level"].value)) == (0, ["OFF"])
    trace_settings(tracing(trace_level="TIMESTAMPS"), tracer, everyone=True)
    assert tracer.share == 1


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"trace_rate": "0"}, "settings[trace_rate] is ['0']; allowed: one number from 1"),
        ({"trace_rate": "often"}, "settings[trace_rate] is ['often']; allowed"),
        ({"trace_rate": "1" * 5000}, "settings[trace_rate] is ['" + "1" * 98 + "...; allowed: one number from 1"),
        ({"trace_level": "TENSORS"}, "settings[trace_level] is ['TENSORS']; allowed: ['OFF'] or ['TIMESTAMPS']"),
        ({"trace_file": "x"}, "settings[trace_file] is not known; allowed: trace_level, trace_rate, trace_mode"),
        ({"trace_mode": "triton"}, "settings[trace_mode] is ['triton']; allowed: opentelemetry"),
    ],
)
def test_what_traces_do_not_know(values: dict[str, str], words: str) -> None:
    tracer = FakeTracer()
    with pytest.raises(InvalidRequest) as caught:
        trace_settings(tracing(**values), tracer, everyone=True)
    assert str(caught.value).startswith(words)
    assert tracer.share == 1
    with pytest.raises(InvalidRequest, match="model_name is set beside settings"):
        trace_settings(
            pb.TraceSettingRequest(model_name="m", settings=tracing(trace_rate="2").settings), tracer, everyone=True
        )


def test_statistics_look_at_the_models_where_they_change(vectors: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the thread of the loop, which alone changes them."""

    async def test(server: Server) -> None:
        threads = []
        list_models = server.front_end.list_models

        def watched() -> Any:
            threads.append(threading.get_ident())
            return list_models()

        monkeypatch.setattr(server.front_end, "list_models", watched)
        assert (await server.stub.ModelStatistics(pb.ModelStatisticsRequest())).model_stats
        assert threads == [threading.get_ident()]

    with_server(test, vectors)


def test_a_model_that_comes_and_goes_is_found_anew(vectors: Path, tmp_path: Path) -> None:
    """What was found of a model is not kept longer than it holds."""
    other = make_text_encoder(tmp_path / "vectors", "classify")
    text = tensor("text", ["a"], "BYTES")

    async def test(server: Server) -> None:
        assert (await server.stub.ModelInfer(request("vectors", text))).outputs[0].name == "embedding"
        await server.front_end.models.unload("vectors", 1)
        assert (await refused(server.stub.ModelInfer(request("vectors", text))))[0] is NOT_FOUND
        await server.front_end.models.load(other)
        assert (await server.stub.ModelInfer(request("vectors", text))).outputs[0].name == "label"

    with_server(test, vectors)
