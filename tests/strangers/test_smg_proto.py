"""Our VllmEngine is its authors': every method, and every field of ours by number, name and type."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from attendant_proto.vllm import common_pb2, engine_pb2
from google.protobuf import descriptor_pb2

from tests.strangers.environments import SMG_PROTO
from tests.strangers.stranger import stranger

NOT_READ = {
    "MultimodalInputs": "refused as a whole",
    "MediaRefs": "refused as a whole",
    "KvTransferParams": "refused as a whole",
    "KvEventBatch": "never sent",
}
"""Messages that come from callers, or that are never sent, of which we have less than there is."""
NOT_SENT = {
    "GenerateStreamChunk": {"input_logprobs"},
    "GenerateComplete": {
        *("input_logprobs", "kv_transfer_params", "kv_transfer_params_json", "spec_accepted_tokens"),
        *("spec_draft_tokens", "media_identity"),
    },
    "GetServerInfoResponse": {
        *("kv_connector", "kv_role", "kv_engine_id", "shm_namespace_id", "attention_backend", "pairing_protocol"),
        *("mm_processor", "mm_media_ref_schemes", "mm_processor_source", "mm_device_do_normalize", "mm_item_limits"),
        *("multimodal_encoder_dtype", "engine_reasoning_parser", "constrained_decoding_start", "mm_encoder_budget"),
    },
}
"""Fields of responses that this server has nothing to say about."""


def messages(files: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """All messages by name, those within others included."""
    for file in files:
        for message in file.message_type:
            yield f"{file.package}.{message.name}", message
            for inner in message.nested_type:
                yield f"{file.package}.{message.name}.{inner.name}", inner


def fields(message: Any) -> dict[int, tuple[object, ...]]:
    """By number: name, type, label, whether its absence can be told, and the oneof that it is in."""
    oneofs = [oneof.name for oneof in message.oneof_decl]
    return {
        field.number: (
            *(field.name, field.type, field.label, field.type_name, field.proto3_optional),
            oneofs[field.oneof_index] if field.HasField("oneof_index") else None,
        )
        for field in message.field
    }


@pytest.fixture(scope="module")
def theirs() -> list[Any]:
    with stranger(SMG_PROTO, "by_smg_proto.py", "-") as package:
        return [descriptor_pb2.FileDescriptorProto.FromString(data) for data in package.ask("files")]


@pytest.fixture(scope="module")
def ours() -> list[Any]:
    made: list[Any] = [descriptor_pb2.FileDescriptorProto() for _ in range(2)]
    common_pb2.DESCRIPTOR.CopyToProto(made[0])
    engine_pb2.DESCRIPTOR.CopyToProto(made[1])
    return made


def test_the_service_has_the_same_methods(ours: list[Any], theirs: list[Any]) -> None:
    found = [
        {
            method.name: (method.input_type, method.output_type, method.client_streaming, method.server_streaming)
            for method in files[1].service[0].method
        }
        for files in (ours, theirs)
    ]
    assert found[0] == found[1]
    assert ours[1].package == theirs[1].package == "vllm.grpc.engine"
    assert ours[1].service[0].name == theirs[1].service[0].name == "VllmEngine"


def test_every_field_is_theirs_and_what_is_left_out_is_said_here(ours: list[Any], theirs: list[Any]) -> None:
    known = dict(messages(theirs))
    for name, message in messages(ours):
        own, their = fields(message), fields(known[name])
        for number, field in own.items():
            assert field == their[number], f"{name}, field {number}"
        if message.name not in NOT_READ:
            left_out = {their[number][0] for number in their.keys() - own.keys()}
            assert left_out == NOT_SENT.get(message.name, set()), name
