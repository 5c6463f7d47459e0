"""What loading a bundle gives, whatever its cache is laid out in, and the limits that both layouts share."""

from __future__ import annotations

from dataclasses import dataclass

from attendant.core.errors import ConfigurationError
from attendant.engine.engine import Engine
from attendant.settings import EngineSettings

MOST_SPARE_SEQS = 8
"""Enough places for light tenants, however many there are in all: each is theirs for one answer."""


@dataclass(frozen=True, slots=True)
class LoadedEngines:
    """Engines of one bundle, alike: each runs ``max_num_seqs`` sequences of up to ``context_length`` positions, and has
    a KV cache of ``capacity_tokens``."""

    engines: tuple[Engine, ...]
    context_length: int
    max_num_seqs: int
    capacity_tokens: int

    @property
    def num_engines(self) -> int:
        """How many there are."""
        return len(self.engines)


def spare_seqs(max_num_seqs: int) -> int:
    """Places beside ``max_num_seqs``, which light tenants alone may take."""
    return min(max_num_seqs // 4, MOST_SPARE_SEQS)


def token_budget(settings: EngineSettings, max_num_seqs: int, prompt_tokens: int) -> int:
    """Tokens of a step.

    Raises:
        ConfigurationError: the setting leaves no room for prompts.
    """
    try:
        return settings.token_budget(max_num_seqs, prompt_tokens)
    except ValueError as error:
        raise ConfigurationError(f"engine settings: {error}") from None
