"""What callers may know of a loaded model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from attendant.bundle import BundleManifest, EncoderManifest

Kind = Literal["continues", "reads", "hears"]
"""What a model that generates does with what it is sent: continue a prompt, or answer a text or a sound as a source."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One loaded model: its manifest, and the limits that this server serves it with.

    Attributes:
        manifest: as read from the bundle.
        context_length: tokens of prompt and answer together that this server accepts.
        max_running: sequences that run together.
        max_requests: sequences that the model holds at most, running and waiting.
        ready: False while it loads or after its engine died.
    """

    manifest: BundleManifest
    context_length: int
    max_running: int
    max_requests: int
    ready: bool

    @property
    def name(self) -> str:
        """What callers call it."""
        return self.manifest.name


@dataclass(frozen=True, slots=True)
class EncoderInfo:
    """One loaded model that encodes: its manifest, and the limits that this server serves it with.

    Attributes:
        manifest: as read from the bundle.
        vocab_size: of models that take text; 0 for others.
        max_running: rows that run together.
        max_requests: rows that the model holds at most, running and waiting.
        ready: False after its batch thread died.
    """

    manifest: EncoderManifest
    vocab_size: int
    max_running: int
    max_requests: int
    ready: bool

    @property
    def name(self) -> str:
        """What callers call it."""
        return self.manifest.name


@dataclass(frozen=True, slots=True)
class Tokenized:
    """Token ids of a text and the vocabulary's spelling of each."""

    token_ids: tuple[int, ...]
    tokens: tuple[str, ...]
