"""What callers may know of a loaded model."""

from __future__ import annotations

from dataclasses import dataclass

from attendant.bundle import BundleManifest


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


@dataclass(frozen=True, slots=True)
class Tokenized:
    """Token ids of a text and the vocabulary's spelling of each."""

    token_ids: tuple[int, ...]
    tokens: tuple[str, ...]
