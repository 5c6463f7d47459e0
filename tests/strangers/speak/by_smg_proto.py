"""The contract VllmEngine as the package of its authors has it."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2
from loop import answer
from smg_grpc_proto.generated import common_pb2, vllm_engine_pb2


def files() -> list[bytes]:
    """Both files, as descriptors."""
    made: list[Any] = [descriptor_pb2.FileDescriptorProto() for _ in range(2)]
    common_pb2.DESCRIPTOR.CopyToProto(made[0])
    vllm_engine_pb2.DESCRIPTOR.CopyToProto(made[1])
    return [each.SerializeToString() for each in made]


if __name__ == "__main__":
    answer({"files": files})
