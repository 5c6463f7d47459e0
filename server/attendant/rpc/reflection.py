"""Reflection under both of its names: ``grpc.reflection.v1``, which clients of today ask first, and ``v1alpha``. Their
messages are the same on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

OLD, NEW = "grpc.reflection.v1alpha", "grpc.reflection.v1"
NAMES = (f"{NEW}.ServerReflection", reflection.SERVICE_NAME)


def add_to(server: Any, services: Sequence[str]) -> None:
    """Register with a gRPC server that has not started.

    Args:
        services: full names of all that the server has, but for reflection itself.
    """
    _describe()
    servicer = reflection.aio.ReflectionServicer((*services, *NAMES))
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    methods = {"ServerReflectionInfo": handler}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(NAMES[0], methods),))


def _describe() -> None:
    """Let the new name be described, too: grpcio-reflection brings the old one's file only."""
    pool = descriptor_pool.Default()
    try:
        pool.FindFileContainingSymbol(NAMES[0])
    except KeyError:
        old = descriptor_pb2.FileDescriptorProto()
        reflection_pb2.DESCRIPTOR.CopyToProto(old)
        words = text_format.MessageToString(old).replace(OLD, NEW)
        new = text_format.Parse(words, descriptor_pb2.FileDescriptorProto())
        new.name = f"{NEW.replace('.', '/')}/reflection.proto"
        pool.Add(new)
