"""A GGUF file as the folder that a model comes from: small files are written to a place of their own, weights are read
from the file, one tensor at a time, when the model is loaded."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from attendant_export.errors import SourceError, UnsupportedModel, reading
from attendant_export.quantisation.stored import StoredBlocks
from attendant_export.source.folder import SourceFolder
from attendant_export.source.gguf.blocks import STORED, precision_of, stored_blocks
from attendant_export.source.gguf.families import FAMILIES, halves
from attendant_export.source.gguf.file import GgufFile
from attendant_export.source.gguf.names import name_of
from attendant_export.source.gguf.parts import open_whole
from attendant_export.source.gguf.rotary import FACTORS
from attendant_export.source.gguf.settings import check_architecture, head_counts, model_config
from attendant_export.source.gguf.words import chat_templates, end_ids, token_ids, tokenizer_of
from attendant_export.source.left_out import LeftOut
from attendant_export.source.quantised.checkpoint import Checkpoint
from attendant_export.source.quantised.loading import load
from attendant_export.source.quantised.weights import Weight


@dataclass(frozen=True)
class GgufFolder(SourceFolder):
    """See :class:`SourceFolder`.

    Attributes:
        file: where the weights are.
    """

    file: GgufFile = field(kw_only=True)
    _place: TemporaryDirectory[str] = field(kw_only=True, repr=False, compare=False)

    @cached_property
    def quantised(self) -> Checkpoint:
        """Its weights by transformers' names, read from the file one at a time."""
        family = FAMILIES[self.file.architecture]
        weights: dict[str, Weight] = {}
        for name, tensor in self.file.tensors.items():
            if name in FACTORS:
                continue  # the config has what they say
            known = family.name(name)
            if known is None:
                raise UnsupportedModel(
                    self.file.architecture, f"{self.file.path} has a tensor {name}, which models of this kind have not"
                )
            shape = tensor.shape if not family.is_transposed(name) else tensor.shape[::-1]
            kept = partial(self._blocks, name) if tensor.type in STORED and len(shape) == 2 else None
            weights[known] = Weight(shape, partial(self._weight, name), blocks=kept)
        kinds = Counter(tensor.type for tensor in self.file.tensors.values())
        what = ", ".join(f"{count} of {kind}" for kind, count in kinds.most_common())
        return Checkpoint(weights, (f"tensors of GGUF: {what}",), (), precision_of(self.file))

    def _loaded(self, auto_class: str, left_out: LeftOut | None = None) -> tuple[Any, dict[str, Any]]:
        if auto_class != "AutoModelForCausalLM":
            raise SourceError(f"{self.file.path}: models in GGUF are exported for task generate")
        with reading(f"{self.file.path}: the model cannot be loaded"):
            model, info = load(self.path, auto_class, self.quantised.weights)
        _check_unexpected(self.file, info)
        return model, info

    def _weight(self, name: str) -> torch.Tensor:
        values = self.file.tensors[name].values()
        return torch.from_numpy(FAMILIES[self.file.architecture].change(name, values, self._heads))

    def _blocks(self, name: str) -> StoredBlocks:
        blocks, family = stored_blocks(self.file.tensors[name]), FAMILIES[self.file.architecture]
        if not family.turns(name):
            return blocks
        heads = self._heads(family.part(name))
        minimum = None if blocks.minimum is None else halves(blocks.minimum, heads)
        return replace(
            blocks, values=halves(blocks.values, heads), scales=halves(blocks.scales, heads), minimum=minimum
        )

    def _heads(self, part: str) -> int:
        queries, keys = head_counts(self.file)
        return keys if part == "attn_k" else queries


def _check_unexpected(file: GgufFile, info: dict[str, Any]) -> None:
    unexpected = sorted(info.get("unexpected_keys") or ())
    if unexpected:
        raise UnsupportedModel(
            file.architecture,
            f"{file.path} has {len(unexpected)} tensors that models of this kind have not, first {unexpected[0]!r}",
        )


def gguf_folder(path: Path) -> GgufFolder:
    """The model in the file ``path``, or of which it is a part.

    Raises:
        SourceError: the file cannot be read, or lacks something; names it.
        UnsupportedModel: its architecture is not read; names those that are.
    """
    file = open_whole(path)
    check_architecture(file)
    config = model_config(file)
    tokenizer = tokenizer_of(file)
    place = TemporaryDirectory(prefix="attendant-gguf-")
    folder = Path(place.name)
    ids, ends = token_ids(file), end_ids(file)
    numbers = {f"{role}_token_id": ids[role] for role in ("bos", "eos", "pad") if role in ids}
    _write(folder / "config.json", config | numbers)
    _write(folder / "generation_config.json", numbers | ({"eos_token_id": ends} if ends else {}))
    tokens = file.fields["tokenizer.ggml.tokens"]
    named = {f"{role}_token": tokens[index] for role, index in ids.items()}
    _write(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **named})
    tokenizer.save(str(folder / "tokenizer.json"))
    for name, source in chat_templates(file).items():
        template = folder / ("chat_template.jinja" if name == "default" else f"additional_chat_templates/{name}.jinja")
        template.parent.mkdir(exist_ok=True)
        template.write_text(source, encoding="utf-8")
    return GgufFolder(folder, name_of(path), file=file, _place=place)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
