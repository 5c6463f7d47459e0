"""What the protocol tells of models: their tensors, and how they are served, in Triton's words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attendant_proto.openinference import inference_pb2 as pb
from attendant_proto.openinference import model_config_pb2 as config_pb

from attendant.bundle import EncoderManifest, TextInput
from attendant.core.repository import ModelVersion, VersionState
from attendant.core.version_policy import VersionPolicy
from attendant.models.info import ModelInfo
from attendant.rpc.openinference.ports import Port, TensorSpec

PLATFORM, BACKEND = "onnxruntime_onnx", "attendant"


def model_metadata(info: ModelInfo, ports: Mapping[str, Port], versions: Sequence[str]) -> pb.ModelMetadataResponse:
    """The tensors of a model: those of its first port, and of others what they have besides."""
    inputs = _all_specs(port.inputs for port in ports.values())
    outputs = _all_specs(port.outputs for port in ports.values())
    return pb.ModelMetadataResponse(
        name=info.name,
        versions=versions,
        platform=PLATFORM,
        inputs=map(_tensor, inputs),
        outputs=map(_tensor, outputs),
    )


def model_config(info: ModelInfo, ports: Mapping[str, Port], policy: VersionPolicy) -> config_pb.ModelConfig:
    """How a model is served. Tensors have their whole shape: no dimension is added to them (``max_batch_size`` 0), but
    rows of any number of requests run together (``dynamic_batching``)."""
    manifest = info.manifest
    config = config_pb.ModelConfig(
        name=info.name,
        platform=PLATFORM,
        backend=BACKEND,
        version_policy=_policy(policy),
        input=map(_input, _all_specs(port.inputs for port in ports.values())),
        output=map(_output, _all_specs(port.outputs for port in ports.values())),
        instance_group=[config_pb.ModelInstanceGroup(name=info.name, count=1, kind=_device(manifest.target))],
        dynamic_batching=config_pb.ModelDynamicBatching(),
        model_transaction_policy=config_pb.ModelTransactionPolicy(
            decoupled=any(port.decoupled for port in ports.values())
        ),
    )
    for name, value in _parameters(info, ports):
        config.parameters[name].string_value = value
    return config


def serving_versions(name: str, index: Sequence[ModelVersion], fallback: str) -> list[str]:
    """The versions of a model that take requests."""
    found = [each.version for each in index if each.name == name and each.state is VersionState.READY]
    return found or [fallback]


def _all_specs(ports: Iterator[tuple[TensorSpec, ...]]) -> list[TensorSpec]:
    """Each tensor once: of two with one name the first."""
    found: dict[str, TensorSpec] = {}
    for specs in ports:
        for spec in specs:
            found.setdefault(spec.name, spec)
    return list(found.values())


def _tensor(spec: TensorSpec) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(name=spec.name, datatype=spec.datatype, shape=spec.shape)


def _input(spec: TensorSpec) -> config_pb.ModelInput:
    data_type = _data_type(spec)
    return config_pb.ModelInput(name=spec.name, data_type=data_type, dims=spec.shape, optional=spec.optional)


def _output(spec: TensorSpec) -> config_pb.ModelOutput:
    return config_pb.ModelOutput(name=spec.name, data_type=_data_type(spec), dims=spec.shape)


def _data_type(spec: TensorSpec) -> Any:
    name = "STRING" if spec.datatype == "BYTES" else spec.datatype
    return config_pb.DataType.Value(f"TYPE_{name}")


def _policy(policy: VersionPolicy) -> config_pb.ModelVersionPolicy:
    message = config_pb.ModelVersionPolicy
    if policy.versions is not None:
        return message(specific=message.Specific(versions=sorted(map(int, policy.versions))))
    if policy.count is None:
        return message(all=message.All())
    return message(latest=message.Latest(num_versions=policy.count))


def _device(target: str) -> config_pb.ModelInstanceGroup.Kind:
    group = config_pb.ModelInstanceGroup
    return group.KIND_GPU if target == "cuda" else group.KIND_CPU


def _parameters(info: ModelInfo, ports: Mapping[str, Port]) -> Iterator[tuple[str, str]]:
    manifest = info.manifest
    yield "tasks", ",".join(ports)
    yield "architecture", manifest.architecture
    yield "precision", manifest.precision
    if info.generation is not None:
        yield "context_length", str(info.generation.context_length)
        yield "max_running", str(info.generation.max_running)
    for encoding in info.encodings:
        yield "max_running", str(encoding.max_running)
        yield from _of_encoder(encoding.manifest)


def _of_encoder(manifest: EncoderManifest) -> Iterator[tuple[str, str]]:
    if isinstance(manifest.input, TextInput):
        yield "max_tokens", str(manifest.input.max_tokens)
    if manifest.labels:
        yield "labels", json.dumps(manifest.labels)
    if manifest.embedding is not None:
        yield "dimensions", str(manifest.embedding.default_dimensions or manifest.embedding.dimensions)
        yield "prompts", json.dumps(sorted(manifest.embedding.prompts))
