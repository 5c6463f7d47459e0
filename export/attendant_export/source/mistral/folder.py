"""A folder in Mistral's own format as one that a model comes from: small files are written to a place of their own,
weights are read from its safetensors, one at a time, when the model is loaded."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from attendant_export.errors import SourceError, UnsupportedModel, reading
from attendant_export.source.folder import CONFIG_FILE, SourceFolder
from attendant_export.source.gguf.families import halves
from attendant_export.source.json_files import read_json
from attendant_export.source.left_out import LeftOut
from attendant_export.source.mistral.settings import model_config
from attendant_export.source.mistral.words import BOS, EOS, tokenizer_of
from attendant_export.source.quantised.checkpoint import Checkpoint
from attendant_export.source.quantised.loading import load
from attendant_export.source.quantised.tensors import Tensors
from attendant_export.source.quantised.weights import FLOATS, Weight

_PARAMS, _WORDS, _TEMPLATE = "params.json", "tekken.json", "chat_template.jinja"
_ENDS = {"tok_embeddings.weight": "model.embed_tokens.weight", "norm.weight": "model.norm.weight"}
_HEAD = "output.weight"
_LAYER = {
    "attention_norm": "input_layernorm",
    "attention.wq": "self_attn.q_proj",
    "attention.wk": "self_attn.k_proj",
    "attention.wv": "self_attn.v_proj",
    "attention.wo": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w2": "mlp.down_proj",
    "feed_forward.w3": "mlp.up_proj",
}
_TURNED = {"attention.wq": "num_attention_heads", "attention.wk": "num_key_value_heads"}
"""Weights whose rows rotate in pairs side by side, and of how many heads they are."""


@dataclass(frozen=True)
class MistralFolder(SourceFolder):
    """See :class:`SourceFolder`; ``made_of`` is the folder in Mistral's own format."""

    made_of: Path = field(kw_only=True)
    _place: TemporaryDirectory[str] = field(kw_only=True, repr=False, compare=False)

    @cached_property
    def quantised(self) -> Checkpoint:
        """Its weights by transformers' names."""
        tensors, weights = Tensors(self.made_of), {}
        for name in tensors:
            tensors.check(name, name, FLOATS)
            known, heads = self._known(name)
            weights[known] = Weight(tensors[name], partial(_read, tensors, name, heads))
        return Checkpoint(weights, (f"{len(weights)} tensors of Mistral's own format",), ())

    def _known(self, name: str) -> tuple[str, int | None]:
        """transformers' name, and how many heads have their rows in pairs."""
        if name in _ENDS:
            return _ENDS[name], None
        if name == _HEAD and not self.config["tie_word_embeddings"]:
            return "lm_head.weight", None
        start, _, rest = name.partition(".")
        number, _, rest = rest.partition(".")
        part, _, kind = rest.rpartition(".")
        if start != "layers" or not number.isdecimal() or part not in _LAYER or kind != "weight":
            raise UnsupportedModel(
                "mistral", f"{self.made_of} has a tensor {name!r}, which plain models of Mistral have not"
            )
        heads = self.config[_TURNED[part]] if part in _TURNED else None
        return f"model.layers.{number}.{_LAYER[part]}.weight", heads

    def _loaded(self, auto_class: str, left_out: LeftOut | None = None) -> tuple[Any, dict[str, Any]]:
        if auto_class != "AutoModelForCausalLM":
            raise SourceError(f"{self.made_of}: models in Mistral's own format are exported for task generate")
        with reading(f"{self.made_of}: the model cannot be loaded"):
            model, info = load(self.path, auto_class, self.quantised.weights)
        unexpected = sorted(info.get("unexpected_keys") or ())
        if unexpected:
            raise SourceError(f"{self.made_of}: {_PARAMS} has no place for {unexpected[0]!r}")
        return model, info


def is_mistral(folder: Path) -> bool:
    """Whether a folder is in Mistral's own format alone, with weights in safetensors."""
    own = (folder / _PARAMS).is_file() and any(folder.glob("consolidated*.safetensors"))
    return own and not (folder / CONFIG_FILE).is_file()


def mistral_folder(folder: Path) -> MistralFolder:
    """The model in ``folder``.

    Raises:
        SourceError: a file cannot be read, or lacks something; names it.
        TokenizerError: its tokenizer is none of tekken's.
        UnsupportedModel: it is no plain model; names what it has besides.
    """
    config = model_config(folder / _PARAMS, read_json(folder / _PARAMS))
    if not (folder / _WORDS).is_file():
        raise SourceError(
            f"{folder} has no {_WORDS}: of Mistral's own format, this tokenizer is read alone; export the same model's "
            "folder in the Hugging Face format"
        )
    tokenizer = tokenizer_of(folder / _WORDS)
    place = TemporaryDirectory(prefix="attendant-mistral-")
    made = Path(place.name)
    ids = {"bos_token_id": tokenizer.token_to_id(BOS), "eos_token_id": tokenizer.token_to_id(EOS)}
    words = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BOS, "eos_token": EOS}
    for name, content in (
        (CONFIG_FILE, config | ids),
        ("generation_config.json", ids),
        ("tokenizer_config.json", words),
    ):
        (made / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    tokenizer.save(str(made / "tokenizer.json"))
    if (folder / _TEMPLATE).is_file():
        shutil.copy(folder / _TEMPLATE, made / _TEMPLATE)
    return MistralFolder(made, folder.resolve().name, made_of=folder, _place=place)


def _read(tensors: Tensors, name: str, heads: int | None) -> torch.Tensor:
    values = tensors.read(name).to(torch.float32)
    return values if heads is None else torch.from_numpy(halves(values.numpy(), heads).copy())
