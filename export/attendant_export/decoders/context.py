"""How many tokens a bundle takes together, and how its frequencies change within them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from attendant.bundle import ChangingFrequencies, Target

from attendant_export.decoders.architectures import context_length, whole_attention_limit
from attendant_export.decoders.rope import changing_frequencies, extended_length, frequency_limit
from attendant_export.errors import ExportError


@dataclass(frozen=True)
class Context:
    """The context of a bundle.

    Attributes:
        length: most tokens of prompt and answer together.
        changing: how frequencies change within it, or None.
        warnings: what is left out of the context that the config speaks of, in sentences.
    """

    length: int
    changing: ChangingFrequencies | None = None
    warnings: tuple[str, ...] = ()

    @property
    def plain_length(self) -> int:
        """The context within which position_ids are positions."""
        return self.length if self.changing is None else self.changing.after


def bundle_context(model: Any, target: Target, asked: int | None = None) -> Context:
    """The context of a bundle of ``model``: what the model takes, or ``asked``.

    Raises:
        ExportError: longer than the model's is asked for.
        UnsupportedModel: its config does not say how much it takes.
    """
    most, limit = context_length(model, target), frequency_limit(model)
    if asked is not None and asked > most:
        raise ExportError(f"--context-length is {asked}; this model takes at most {most}")
    length = asked or most
    changing = changing_frequencies(model, target)
    warnings: tuple[str, ...] = ()
    if limit is not None and asked is None and limit == length < _written_length(model):
        warnings = (
            f"the context ends at {length} tokens, the length that the model was trained at: beyond it its rotary "
            "embeddings change with the length, which this bundle does not follow",
        )
    whole = whole_attention_limit(model)
    if whole is not None and asked is None and whole == length < _written_length(model):
        warnings += (
            f"the context ends at {length} tokens: up to there this model's attention in chunks or blocks is whole, "
            "and longer texts are not taken",
        )
    return Context(length, changing if changing is not None and changing.after < length else None, warnings)


def _written_length(model: Any) -> int:
    """The context that the config speaks of."""
    most = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 0
    return extended_length(model, int(most))
