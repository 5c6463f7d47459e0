"""Ports with one model each in a real server: they are told, refuse what is wrong, and leave in order."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import grpc
import pytest
from attendant_proto.vllm import engine_pb2 as pb
from attendant_proto.vllm import engine_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.system.server import HANGS_S, PATIENT, ServerProcess, attendant, request, serving, tokens_of

SERVICE = "vllm.grpc.engine.VllmEngine"
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def ports_of(server: ServerProcess) -> dict[str, str]:
    """Addresses by model, as the start tells them."""
    return dict(re.findall(r"VllmEngine of (\S+) on (\S+)", "".join(server.output)))


def generate(max_tokens: int) -> pb.GenerateRequest:
    params = pb.SamplingParams(temperature=0.0, max_tokens=max_tokens)
    return pb.GenerateRequest(text="hello", stream=True, sampling_params=params)


def test_each_port_has_its_model_and_all_leave_together(fast: Path, slow: Path, tmp_path: Path) -> None:
    arguments = (fast, slow, "--vllm-engine", "0=fast", "--vllm-engine", "0=slow", *PATIENT)
    with serving(tmp_path / "log", *arguments) as server:
        addresses = ports_of(server)
        channels = {name: grpc.insecure_channel(address) for name, address in addresses.items()}
        engines: dict[str, Any] = {name: engine_pb2_grpc.VllmEngineStub(each) for name, each in channels.items()}
        expected = tokens_of(server.generation.Generate(request(model="fast")))
        chunks = list(engines["fast"].Generate(generate(8)))
        assert [token for each in chunks for token in each.chunk.token_ids] == expected
        for name, engine in engines.items():
            assert engine.GetModelInfo(pb.GetModelInfoRequest()).served_model_name == name
        assert services(channels["slow"]) == {
            SERVICE,
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
        }
        health: Any = health_pb2_grpc.HealthStub(channels["slow"])
        watch = health.Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        assert next(watch).status == SERVING
        running = engines["slow"].Generate(generate(300))
        next(running)
        server.terminate()
        assert next(watch).status == NOT_SERVING
        with pytest.raises(grpc.RpcError) as caught:
            list(engines["slow"].Generate(generate(8)))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        *_, last = running
        assert (last.complete.finish_reason, last.complete.completion_tokens) == ("length", 300)
        assert server.wait() == 0
        for channel in channels.values():
            channel.close()
    assert "Traceback" not in server.log()


def services(channel: grpc.Channel) -> set[str]:
    """What reflection shows."""
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = stub.ServerReflectionInfo(iter([asked]), timeout=HANGS_S)
    return {service.name for service in answer.list_services_response.service}


def test_an_unknown_model_is_an_error_at_the_start(fast: Path) -> None:
    found = attendant("serve", fast, "--vllm-engine", "0=nobody", "--grpc.port", 0, "--http.port", 0)
    assert found.returncode == 2
    assert "vllm_engine: there is no model 'nobody'; there are: 'fast'" in found.stderr
    assert "Traceback" not in found.stderr
