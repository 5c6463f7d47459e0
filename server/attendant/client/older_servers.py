"""What older servers say of a model, in flat fields alone: it becomes parts, so that the rest reads one form."""

from __future__ import annotations

from attendant_proto.v1 import models_pb2 as pb

_OF_BUNDLE = ("architecture", "precision", "target", "source")


def fill_parts(model: pb.Model) -> pb.Model:
    """Say in parts what the flat fields say, if ``model`` is an older server's; returns it."""
    if model.capabilities or not model.task:
        return model
    if model.precision:
        model.bundle.CopyFrom(pb.BundleInfo(**{name: getattr(model, name) for name in _OF_BUNDLE}))
        model.bundle.recipe.extend(model.recipe)
        model.bundle.warnings.extend(model.warnings)
        model.bundle.parity.CopyFrom(model.parity)
    limits = pb.Limits(
        context_length=model.context_length,
        max_source_tokens=model.max_source_tokens,
        max_running=model.max_running,
        max_requests=model.max_requests,
    )
    if model.task != "generate":
        model.capabilities.append(model.task)
        model.encodings.add(task=model.task, limits=limits, vocab_size=model.vocab_size, labels=model.labels)
        return model
    model.capabilities.extend(("generate", _way_to_generate(model)))
    model.generation.CopyFrom(pb.GenerationInfo(limits=limits, vocab_size=model.vocab_size))
    if model.has_chat_template:
        model.generation.chat.templates.extend(model.chat_templates)
        model.generation.chat.SetInParent()
    return model


def _way_to_generate(model: pb.Model) -> str:
    if model.speech:
        return "speech"
    return "translate" if model.max_source_tokens else "continue"
