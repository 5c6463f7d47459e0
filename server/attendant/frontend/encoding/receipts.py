"""Receipts of calls on models that encode: what held for the call, and what went into the model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from attendant.bundle import EncoderManifest, EncoderTask
from attendant.core.encoding import Arrays
from attendant.core.receipt import Maker, Receipt, arrays_digest, settings_text
from attendant.frontend.encoding.calls import EmbedCall, EmbedImageCall
from attendant.tasks.embeddings import VectorForm

_INPUTS = frozenset({"model", "receipt", "patient", "inputs", "texts", "query", "documents", "images"})

_LATER = ("truncate_left", "max_tokens", "max_document_tokens")
"""What calls could not ask for at first."""

LARGE_ROWS = 1_000_000
"""Bytes from which on a digest is made in a thread."""


class RowDigests:
    """Digests of a call's rows, which are made in any order."""

    def __init__(self) -> None:
        self._rows: dict[int, bytes] = {}

    def take(self, index: int, arrays: Arrays) -> None:
        """Take down what a row puts into the model."""
        self._rows[index] = arrays_digest(arrays)

    def hexdigest(self) -> str:
        """SHA-256 of the digests of all rows, as bytes, in the order of their indices."""
        return hashlib.sha256(b"".join(self._rows[index] for index in sorted(self._rows))).hexdigest()


def draft(maker: Maker, task: EncoderTask, manifest: EncoderManifest, call: Any, rows: RowDigests) -> Receipt:
    """A receipt without an output, which is known when the answer is on its way out."""
    return Receipt(maker, task, settings_text(encoding_settings(manifest, call)), rows.hexdigest())


def encoding_settings(manifest: EncoderManifest, call: Any) -> Mapping[str, Any]:
    """What holds for a call besides its inputs, after the model's defaults."""
    asked = {entry.name: getattr(call, entry.name) for entry in fields(call) if entry.name not in _INPUTS}
    for name in _LATER:  # as receipts of before there was a choice have it
        if not asked.get(name):
            asked.pop(name, None)
    if "aggregation" in asked:
        asked["aggregation"] = asked["aggregation"].value
    if isinstance(call, EmbedCall | EmbedImageCall):
        head = manifest.embedding
        assert head is not None, "the manifest has checked it"
        form = VectorForm.of(head, call.dimensions, call.normalize)
        asked |= {"dimensions": form.kept or form.dimensions or head.dimensions, "normalize": form.normalise}
    if isinstance(call, EmbedCall):
        asked["prompt"] = "" if call.no_prompt else call.prompt or manifest_prompt(manifest)
    return asked


def manifest_prompt(manifest: EncoderManifest) -> str:
    """The name of the prompt that a model puts before texts unless told otherwise; empty for none."""
    return manifest.embedding.default_prompt or "" if manifest.embedding is not None else ""
