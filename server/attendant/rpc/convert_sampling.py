"""How the wire says which tokens are chosen, in the words of the core, and back."""

from __future__ import annotations

from typing import Any

from attendant_proto.v1 import generation_pb2 as pb

from attendant.bundle import GeneratorManifest
from attendant.core.errors import InvalidRequest

_NUMBERS = (
    *("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty"),
    *("seed", "no_repeat_ngram_size", "typical_p", "epsilon_cutoff", "eta_cutoff", "top_h"),
    *("encoder_no_repeat_ngram_size", "encoder_repetition_penalty"),
)
_TOKENS = ("suppress_tokens", "begin_suppress_tokens", "forced_first", "forced_last")
_SHOWN = tuple(name for name in _NUMBERS if name not in ("presence_penalty", "frequency_penalty", "seed"))


def sampling_fields(sampling: pb.Sampling) -> dict[str, Any]:
    """What a :class:`~attendant.core.generation.GenerationCall` says of sampling; absent fields are None.

    Raises:
        InvalidRequest: a sequence without tokens.
    """
    fields: dict[str, Any] = {name: optional(sampling, name) for name in _NUMBERS}
    fields["logit_bias"] = dict(sampling.logit_bias) or None
    for name in _TOKENS:
        fields[name] = tuple(getattr(sampling, name).ids) if sampling.HasField(name) else None
    fields["bad_words"] = fields["sequence_bias"] = fields["length_decay"] = None
    fields["bad_phrases"] = tuple(sampling.bad_phrases)
    if sampling.HasField("bad_words"):
        fields["bad_words"] = tuple(_sequence("bad_words", each) for each in sampling.bad_words.sequences)
    if sampling.HasField("sequence_bias"):
        entries = sampling.sequence_bias.entries
        fields["sequence_bias"] = tuple((_sequence("sequence_bias", each.sequence), each.bias) for each in entries)
    if sampling.HasField("length_decay"):
        fields["length_decay"] = (sampling.length_decay.start, sampling.length_decay.factor or 1.0)
    return fields


def default_sampling(manifest: GeneratorManifest) -> pb.Sampling:
    """What requests get that leave it out; lists are set where they hold something."""
    settings = manifest.settings
    shown = pb.Sampling(**{name: getattr(settings, name) for name in _SHOWN})
    for name in ("suppress_tokens", "begin_suppress_tokens"):
        if tokens := getattr(settings, name):
            getattr(shown, name).ids.extend(tokens)
    for name in ("forced_first", "forced_last"):
        if (token := getattr(settings, name)) is not None:
            getattr(shown, name).ids.append(token)
    for word in settings.bad_words:
        shown.bad_words.sequences.add(ids=word)
    for tokens, bias in settings.sequence_bias:
        shown.sequence_bias.entries.add(sequence=pb.TokenIds(ids=tokens), bias=bias)
    if settings.length_decay is not None:
        shown.length_decay.start, shown.length_decay.factor = settings.length_decay
    return shown


def _sequence(field: str, message: pb.TokenIds) -> tuple[int, ...]:
    if not message.ids:
        raise InvalidRequest(f"sampling.{field}", "has a sequence without tokens; allowed: at least one in each")
    return tuple(message.ids)


def optional(message: Any, field: str) -> Any:
    """A field's value, or None where it is absent."""
    return getattr(message, field) if message.HasField(field) else None
