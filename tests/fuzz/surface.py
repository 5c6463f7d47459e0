"""Every service that the proto room has, and gRPC's own: found by reflection, so that what is added is there."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from tests.docs.markdown import REPOSITORY


def _files() -> Iterator[Any]:
    yield from (health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR)
    for path in sorted((REPOSITORY / "proto").rglob("*_pb2.py")):
        name = ".".join(path.relative_to(REPOSITORY / "proto").with_suffix("").parts)
        yield import_module(name).DESCRIPTOR


SERVICES: dict[str, ServiceDescriptor] = {
    service.full_name: service for file in _files() for service in file.services_by_name.values()
}
"""By full name."""

METHODS: tuple[MethodDescriptor, ...] = tuple(
    method for service in SERVICES.values() for method in service.methods_by_name.values()
)
