"""Folders of random models whose weights are replaced by tensors in a format, and the models that these stand for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from attendant_export.errors import SourceError
from attendant_export.source.folder import SourceFolder
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.bundles import BOS, EOS, PAD, make_llama, make_tokenizer

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Packed:
    """``tensors``: in the place of one weight, by ends of names that follow the module's. ``plain``: what they stand
    for, float32. ``metadata``: of the file, by the same ends of names."""

    tensors: Tensors
    plain: torch.Tensor
    metadata: Mapping[str, str] = field(default_factory=dict)


Packer = Callable[[torch.Tensor], Packed]


@dataclass(frozen=True)
class Folder:
    """``path``: of the checkpoint. ``plain``: the weights that it stands for, by the names of the checkpoint."""

    path: Path
    plain: Tensors

    def loaded(self) -> Any:
        """The model as the exporter has it."""
        return SourceFolder(self.path).pretrained("AutoModelForCausalLM")

    def twin(self) -> Any:
        """The model of the plain weights, as transformers loads it."""
        from transformers import AutoModelForCausalLM

        place = self.path.with_name(f"{self.path.name}-plain")
        if not place.exists():
            write(place, self.plain, json.loads((self.path / "config.json").read_text()), None)
        return AutoModelForCausalLM.from_pretrained(
            place, dtype=torch.float32, attn_implementation="eager", local_files_only=True
        ).eval()

    def change(self, edit: Callable[[Tensors], object]) -> None:
        """Edits what the file holds."""
        file = self.path / "model.safetensors"
        tensors = dict(load_file(file))
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata()
        edit(tensors)
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file, metadata)


def assert_refused(folder: Folder, edit: Callable[[Tensors], object], message: str) -> None:
    """Whether what the file holds after ``edit`` is refused with words that ``message`` matches."""
    folder.change(edit)
    with pytest.raises(SourceError, match=message):
        folder.loaded()


def projections(name: str) -> bool:
    """Whether a weight is of the layers' projections: what quantisers take."""
    return name.endswith("proj.weight")


def quantised(
    path: Path,
    settings: Mapping[str, Any] | None,
    pack: Packer,
    model: Any = None,
    takes: Callable[[str], bool] = projections,
) -> Folder:
    """A folder of ``model``, a Llama by default, with ``pack`` of every weight that ``takes`` accepts.

    Args:
        settings: the quantization_config.
    """
    model = make_llama() if model is None else model
    place = path.with_name(f"{path.name}-made")
    model.save_pretrained(place)
    config = json.loads((place / "config.json").read_text())
    tensors: Tensors = {}
    plain: Tensors = {}
    metadata: dict[str, str] = {}
    for name, weight in load_file(place / "model.safetensors").items():
        if not takes(name):
            tensors[name] = plain[name] = weight
            continue
        packed = pack(weight)
        plain[name] = packed.plain
        stem = name.removesuffix("weight")
        tensors.update({stem + end: tensor for end, tensor in packed.tensors.items()})
        metadata.update({stem + end: text for end, text in packed.metadata.items()})
    write(path, tensors, config, settings, metadata)
    return Folder(path, plain)


def write(
    path: Path,
    tensors: Tensors,
    config: dict[str, Any],
    settings: Mapping[str, Any] | None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes a model folder with a tokenizer."""
    path.mkdir(parents=True, exist_ok=True)
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(whole, path / "model.safetensors", {"format": "pt", **(metadata or {})})
    config = {key: value for key, value in config.items() if key != "quantization_config"}
    if settings is not None:
        config["quantization_config"] = dict(settings)
    (path / "config.json").write_text(json.dumps(config))
    make_tokenizer().save(str(path / "tokenizer.json"))
    words = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BOS, "eos_token": EOS, "pad_token": PAD}
    (path / "tokenizer_config.json").write_text(json.dumps(words))


def assert_same_weights(folder: Folder) -> None:
    """The loaded model has, to the bit, the weights that the checkpoint stands for."""
    found, wanted = folder.loaded().state_dict(), folder.twin().state_dict()
    assert set(found) == set(wanted)
    different = [name for name in wanted if not torch.equal(found[name], wanted[name])]
    assert not different
