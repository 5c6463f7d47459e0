"""What a server knows of its models, as messages."""

from __future__ import annotations

from attendant_proto.v1 import models_pb2 as pb

from attendant.bundle import (
    AudioSource,
    EmbeddingHead,
    GenerationDefaults,
    GeneratorManifest,
    Manifest,
    TextInput,
    TextSource,
)
from attendant.models.failed import FailedModel
from attendant.models.info import EncodingInfo, GenerationInfo, ModelInfo, ModelState, RouteInfo
from attendant.rpc.convert_attention import attention_message
from attendant.rpc.convert_receipt import maker_message
from attendant.rpc.convert_sampling import default_sampling
from attendant.rpc.flat_model import fill_flat_fields
from attendant.rpc.parity import parity_message

STATES = {
    ModelState.LOADING: pb.MODEL_STATE_LOADING,
    ModelState.READY: pb.MODEL_STATE_READY,
    ModelState.DRAINING: pb.MODEL_STATE_DRAINING,
    ModelState.FAILED: pb.MODEL_STATE_FAILED,
}


def model_message(info: ModelInfo | FailedModel) -> pb.Model:
    """What a caller may know of a model, in parts and in the flat fields of older clients."""
    model = _failed(info) if isinstance(info, FailedModel) else _served(info)
    fill_flat_fields(model)
    return model


def _served(info: ModelInfo) -> pb.Model:
    generation, route = info.generation, info.route
    own = route is None or not route.fuses  # an ensemble is made of no bundle
    return pb.Model(
        name=info.name,
        version=info.version,
        current=info.current,
        capabilities=info.capabilities,
        state=STATES[info.state],
        cause=info.cause,
        bundle=_bundle(info.manifest) if own else None,
        generation=_generation(generation) if generation is not None else None,
        encodings=[_encoding(part) for part in info.encodings],
        recognition=_recognition(generation.manifest) if generation is not None else None,
        attention=attention_message(info.manifest.attention) if own else None,
        maker=maker_message(info.maker) if info.maker is not None else None,
        route=_route(route) if route is not None else None,
    )


def _failed(info: FailedModel) -> pb.Model:
    manifest = info.manifest
    model = pb.Model(
        name=info.name,
        version=info.version,
        current=info.current,
        capabilities=info.capabilities,
        state=pb.MODEL_STATE_FAILED,
        cause=info.cause,
        bundle=_bundle(manifest) if manifest is not None else None,
        route=_route(info.route) if info.route is not None else None,
    )
    if isinstance(manifest, GeneratorManifest):  # what tells older clients those that read from those that continue
        model.max_source_tokens = _max_source_tokens(manifest)
    return model


def _route(route: RouteInfo) -> pb.RouteInfo:
    targets = [
        pb.RouteTarget(
            model=target.model,
            role=target.role,
            weight=target.weight,
            step=target.step,
            ready=not target.cause,
            cause=target.cause,
        )
        for target in route.targets
    ]
    return pb.RouteInfo(kind=route.kind, targets=targets)


def _bundle(manifest: Manifest) -> pb.BundleInfo:
    return pb.BundleInfo(
        architecture=manifest.architecture,
        precision=manifest.precision,
        target=manifest.target,
        source=manifest.source.id,
        recipe=manifest.recipe,
        warnings=manifest.warnings,
        parity=parity_message(manifest.parity),
    )


def _generation(info: GenerationInfo) -> pb.GenerationInfo:
    manifest = info.manifest
    return pb.GenerationInfo(
        limits=pb.Limits(
            context_length=info.context_length,
            max_source_tokens=_max_source_tokens(manifest),
            max_running=info.max_running,
            max_requests=info.max_requests,
        ),
        vocab_size=manifest.vocab_size,
        defaults=_defaults(manifest, manifest.generation_defaults),
        chat=_chat(info) if manifest.templates() else None,
        languages=sorted(manifest.languages.tokens) if manifest.languages is not None else (),
    )


def _chat(info: GenerationInfo) -> pb.ChatInfo:
    told = pb.ChatInfo(
        templates=sorted(info.manifest.chat_templates),
        tool_format=info.formats.tools,
        reasoning_format=info.formats.reasoning,
    )
    if (facts := info.chat) is not None:
        told.tools, told.documents, told.parts = facts.tools, facts.documents, facts.parts
        told.thinking = facts.thinking
        told.variables.extend(facts.variables)
    return told


def _defaults(manifest: GeneratorManifest, defaults: GenerationDefaults) -> pb.GenerationDefaults:
    return pb.GenerationDefaults(
        sampling=default_sampling(manifest),
        max_tokens=defaults.max_tokens,
        num_beams=defaults.num_beams,
        stop=defaults.stop_strings,
        min_length=defaults.min_length or None,
        max_length=defaults.max_length,
    )


def _recognition(manifest: GeneratorManifest) -> pb.SpeechInfo | None:
    if manifest.speech is None:
        return None
    source = manifest.encoder_input
    assert isinstance(source, AudioSource), "the manifest has checked it"
    return pb.SpeechInfo(
        languages=sorted(manifest.speech.languages),
        tasks=sorted(manifest.speech.tasks),
        sampling_rate=source.sampling_rate,
    )


def _encoding(info: EncodingInfo) -> pb.EncodingInfo:
    manifest = info.manifest
    return pb.EncodingInfo(
        task=info.task,
        limits=pb.Limits(
            context_length=manifest.input.max_tokens if isinstance(manifest.input, TextInput) else 0,
            max_running=info.max_running,
            max_requests=info.max_requests,
        ),
        vocab_size=info.vocab_size,
        labels=manifest.labels,
        vectors=_vectors(manifest.embedding) if manifest.embedding is not None else None,
    )


def _vectors(head: EmbeddingHead) -> pb.VectorInfo:
    return pb.VectorInfo(
        dimensions=head.dimensions,
        default_dimensions=head.default_dimensions or 0,
        prompts=list(head.prompts),
        default_prompt=head.default_prompt,
    )


def _max_source_tokens(manifest: GeneratorManifest) -> int:
    return manifest.encoder_input.max_length if isinstance(manifest.encoder_input, TextSource) else 0
