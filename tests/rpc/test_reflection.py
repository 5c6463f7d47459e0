"""What the server tells of its services, under both names of reflection."""

from __future__ import annotations

from typing import Any

import pytest
from attendant.rpc import reflection
from attendant.rpc.server import SERVICES
from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha import reflection_pb2

from tests.rpc.fake import FakeService, connected, run


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_lists_and_describes_every_service(version: str) -> None:
    """Under both names: clients of today ask for v1 first, and some stop there. What they read are the same bytes."""
    name = f"grpc.reflection.{version}.ServerReflection"

    async def test() -> None:
        async with connected(FakeService()) as channel:
            ask = channel.stream_stream(
                f"/{name}/ServerReflectionInfo",
                reflection_pb2.ServerReflectionRequest.SerializeToString,
                reflection_pb2.ServerReflectionResponse.FromString,
            )

            async def answer(**asked: Any) -> reflection_pb2.ServerReflectionResponse:
                (response,) = [
                    response async for response in ask(iter([reflection_pb2.ServerReflectionRequest(**asked)]))
                ]
                return response

            names = {service.name for service in (await answer(list_services="")).list_services_response.service}
            assert {*SERVICES, "grpc.health.v1.Health", *reflection.NAMES} == names
            for service in names:
                found = (await answer(file_containing_symbol=service)).file_descriptor_response.file_descriptor_proto
                files = [descriptor_pb2.FileDescriptorProto.FromString(data) for data in found]
                described = {f"{file.package}.{each.name}" for file in files for each in file.service}
                assert service in described

    run(test)


def test_every_protocol_is_served() -> None:
    ours = {f"attendant.v1.{name}" for name in ("Generation", "Encoding", "Speech", "Models", "Tokenizer", "Explain")}
    tei = {f"tei.v1.{name}" for name in ("Info", "Embed", "Predict", "Rerank", "Tokenize")}
    assert ours | tei | {"inference.GRPCInferenceService"} <= set(SERVICES)
