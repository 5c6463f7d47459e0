"""The folder that a model comes from: what its JSON files say, each read once, and the model of its weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch

from attendant_export.errors import SourceError, reading
from attendant_export.source.adapters.files import Adapter
from attendant_export.source.adapters.merging import merge
from attendant_export.source.json_files import read_json
from attendant_export.source.left_out import LeftOut
from attendant_export.source.quantised.checkpoint import Checkpoint, read_checkpoint
from attendant_export.source.quantised.loading import empty_model, load
from attendant_export.source.quantised.scheme import scheme_of

CONFIG_FILE = "config.json"
Part = Literal["text"]


@dataclass(frozen=True)
class SourceFolder:
    """A local folder in the Hugging Face format. Its files are taken not to change while it is exported.

    Attributes:
        path: where it is.
        id: hub id, or the folder's name. revision: hub commit, or None.
        adapters: what is merged into its model, one after the other. part: which part of it is exported, or None.
    """

    path: Path
    id: str = ""
    revision: str | None = None
    adapters: tuple[Adapter, ...] = ()
    part: Part | None = None
    _read: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False, compare=False)

    def json(self, name: str, *, missing_ok: bool = False) -> dict[str, Any]:
        """The JSON object of a file; {} if the file is missing and may be. Callers leave it as it is.

        Raises:
            SourceError: missing, unreadable or not an object.
        """
        if not self._read.get(name):
            self._read[name] = read_json(self.path / name, missing_ok=missing_ok)
        return self._read[name]

    @property
    def config(self) -> dict[str, Any]:
        """Content of config.json, or {}: a folder of sentence-transformers may have it further down.

        Raises:
            SourceError: unreadable or not an object.
        """
        return self.json(CONFIG_FILE, missing_ok=True)

    @property
    def tokenizer_config(self) -> dict[str, Any]:
        """Content of tokenizer_config.json, or {}.

        Raises:
            SourceError: unreadable or not an object.
        """
        return self.json("tokenizer_config.json", missing_ok=True)

    def has(self, name: str) -> bool:
        """Whether there is a file of this name."""
        return (self.path / name).is_file()

    @cached_property
    def quantised(self) -> Checkpoint | None:
        """Its weights where they are quantised; None where they are plain.

        Raises:
            SourceError: a method or a layout that is not known, or files that cannot be read.
        """
        scheme = scheme_of(self.path, self.config)
        return None if scheme is None else read_checkpoint(self.path, scheme)

    def pretrained(self, auto_class: str, optional: tuple[str, ...] = (), left_out: LeftOut | None = None) -> Any:
        """The model, in float32, with its adapters in it, with eager attention, in eval mode.

        Args:
            auto_class: name of a class of transformers, e.g. ``AutoModelForCausalLM``.
            optional: parts of names of tensors that may be missing, because the graph does not read them.
            left_out: parts of the model that are not loaded.

        Raises:
            SourceError: weights are missing or cannot be read, or an adapter is not of this model.
        """
        from transformers.utils import logging

        logging.disable_progress_bar()  # the exporter tells its own progress
        model, info = self._loaded(auto_class, left_out)
        _check_sizes(self.path, info)
        missing = sorted(name for name in info["missing_keys"] if not any(part in name for part in optional))
        if missing:  # transformers would fill them with random numbers
            raise SourceError(
                f"{self.path}: the weights lack {len(missing)} tensors of the model, first {missing[0]!r}"
            )
        for adapter in self.adapters:
            merge(model, adapter)
        return model.eval()

    def _loaded(self, auto_class: str, left_out: LeftOut | None) -> tuple[Any, dict[str, Any]]:
        """The model, and which tensors were missing or of other sizes."""
        import transformers

        quantised = self.quantised
        with reading(f"{self.path}: the model cannot be loaded"):
            if quantised is not None:
                return load(self.path, auto_class, quantised.weights, left_out)
            model_class, more = getattr(transformers, auto_class), {}
            if left_out is not None:
                empty = empty_model(self.path, auto_class, left_out)
                model_class, more = type(empty), {"config": empty.config, **left_out.names()}
            found: tuple[Any, dict[str, Any]] = model_class.from_pretrained(
                self.path,
                dtype=torch.float32,
                attn_implementation="eager",
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are told by name
                **more,
            )
        return found


def _check_sizes(folder: Path, info: dict[str, Any]) -> None:
    mismatched = sorted(info.get("mismatched_keys") or ())
    if mismatched:
        name, found, wanted = mismatched[0]
        raise SourceError(
            f"{folder}: {len(mismatched)} tensors do not have the sizes that config.json asks for, first {name!r}: "
            f"{list(found)} in the file, {list(wanted)} by the config"
        )
