"""The flat fields of a model's message, which clients of before there were parts read."""

from __future__ import annotations

from attendant_proto.v1 import models_pb2 as pb

_OF_BUNDLE = ("architecture", "precision", "target", "source")


def fill_flat_fields(model: pb.Model) -> None:
    """Say again in flat fields what the parts of ``model`` say. Of several parts that encode it is the first."""
    model.task = model.capabilities[0] if model.capabilities else ""
    model.ready = model.state == pb.MODEL_STATE_READY
    model.speech = "speech" in model.capabilities
    if model.HasField("bundle"):
        for name in _OF_BUNDLE:
            setattr(model, name, getattr(model.bundle, name))
        model.recipe.extend(model.bundle.recipe)
        model.warnings.extend(model.bundle.warnings)
        model.parity.CopyFrom(model.bundle.parity)
    if model.encodings:
        _encoding(model, model.encodings[0])
    if model.HasField("generation"):
        _generation(model, model.generation)
    model.languages.extend(model.recognition.languages)


def _generation(model: pb.Model, part: pb.GenerationInfo) -> None:
    defaults = part.defaults
    _limits(model, part.limits)
    model.vocab_size = part.vocab_size
    model.has_chat_template = part.HasField("chat")
    model.chat_templates.extend(part.chat.templates)
    model.languages.extend(part.languages)
    model.default_sampling.CopyFrom(defaults.sampling)
    model.default_num_beams = defaults.num_beams
    model.default_stop.extend(defaults.stop)
    for name in ("max_tokens", "min_length", "max_length"):
        if defaults.HasField(name):
            setattr(model, f"default_{name}", getattr(defaults, name))


def _encoding(model: pb.Model, part: pb.EncodingInfo) -> None:
    _limits(model, part.limits)
    model.vocab_size = part.vocab_size
    model.labels.extend(part.labels)
    model.dimensions = part.vectors.dimensions
    model.default_dimensions = part.vectors.default_dimensions
    model.prompts.extend(part.vectors.prompts)
    model.default_prompt = part.vectors.default_prompt


def _limits(model: pb.Model, limits: pb.Limits) -> None:
    model.context_length = limits.context_length
    model.max_source_tokens = limits.max_source_tokens
    model.max_running = limits.max_running
    model.max_requests = limits.max_requests
