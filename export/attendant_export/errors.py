"""The exporter's error tree. Every message is one line that says what was wrong and, where it can, what is allowed.

ExportError
├── SourceError                 the model to export cannot be read
│   ├── SourceNotFound          neither a folder nor a hub id that can be fetched
│   └── TokenizerError          the source has no tokenizer that tokenizer.json can hold
├── UnsupportedModel            the model cannot become a decoder graph; names the reason
│   └── UnknownArchitecture     transformers does not know the model type; names near ones
├── OutputError                 the bundle cannot be written where it was asked for
│   ├── OutputExists            something is already there
│   └── DiskFull                no space left
├── ParityError                 the finished graph differs from the source model by more than its precision allows
└── ToolchainError              torch, transformers or onnx are missing, or are not the versions this exporter drives
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class ExportError(Exception):
    """Base of every error the exporter raises on purpose. ``str(error)`` is what the command line prints."""


class SourceError(ExportError):
    """The source model cannot be read."""


class SourceNotFound(SourceError):
    """The source is neither a local model folder nor a hub id that can be fetched."""


class TokenizerError(SourceError):
    """The source has no tokenizer, or one that tokenizer.json cannot hold."""


class UnsupportedModel(ExportError):
    """The model cannot be exported as a decoder graph.

    Args:
        architecture: the config's ``model_type``.
        reason: what in the model is not supported.
    """

    def __init__(self, architecture: str, reason: str) -> None:
        super().__init__(f"cannot export {architecture!r}: {reason}")
        self.architecture = architecture
        self.reason = reason


class UnknownArchitecture(UnsupportedModel):
    """transformers has no causal language model of this model type."""

    def __init__(self, architecture: str, known: Iterable[str]) -> None:
        near = difflib.get_close_matches(architecture, list(known), n=5, cutoff=0.5)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        super().__init__(architecture, f"transformers knows no causal language model of this type{hint}")
        self.near = tuple(near)


class OutputError(ExportError):
    """The bundle cannot be written."""


class OutputExists(OutputError):
    """Something is already at the place of the bundle, and it may not be replaced."""


class DiskFull(OutputError):
    """The file system of the bundle has no space left."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"no space left on the file system of {path}; nothing was written there")


class ParityError(ExportError):
    """The exported graph differs from the source model by more than its precision allows."""


class ToolchainError(ExportError):
    """A library of the exporter is missing or has another version than the one it drives."""
