"""Reads a folder of sentence-transformers: which modules make one vector of a text, and with what settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from attendant.bundle import Pooling

from attendant_export.errors import SourceError, UnsupportedModel
from attendant_export.source import read_json

MODULES_FILE = "modules.json"
_SETTINGS = "config_sentence_transformers.json"
_POOLING_FLAGS: dict[str, Pooling] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "last",
}
_POOLING_NAMES: dict[str, Pooling] = {"cls": "cls", "mean": "mean", "max": "max", "lasttoken": "last"}
_ACTIVATIONS: dict[str, type[torch.nn.Module]] = {
    "Identity": torch.nn.Identity,
    "Tanh": torch.nn.Tanh,
    "ReLU": torch.nn.ReLU,
    "GELU": torch.nn.GELU,
    "Sigmoid": torch.nn.Sigmoid,
    "SiLU": torch.nn.SiLU,
}


@dataclass(frozen=True)
class SentenceModel:
    """What the folder says beside the transformer's weights.

    Attributes:
        transformer: folder of the transformer.
        pooling: None where the transformer gives one vector itself (CLIP).
        projection: what comes after pooling, [rows, hidden] -> [rows, dimensions] float32, or None.
        normalise: whether vectors are divided by their length.
        max_tokens: of a text, or None. lowercase: texts are put into lower case first.
        prompts: by name. prefix_truncation: the model card says that shorter prefixes were trained, too.
    """

    transformer: Path
    pooling: Pooling | None = "mean"
    projection: torch.nn.Module | None = None
    normalise: bool = False
    max_tokens: int | None = None
    lowercase: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    prefix_truncation: bool = False


def read_sentence_model(folder: Path) -> SentenceModel | None:
    """What ``folder`` says; None if it is not one of sentence-transformers.

    Raises:
        SourceError: a file is missing or cannot be read.
        UnsupportedModel: a module or a setting that the bundle has no place for.
    """
    if not (folder / MODULES_FILE).is_file():
        return None
    modules = _modules(folder)
    first_kind, transformer = modules[0]
    if first_kind not in ("Transformer", "CLIPModel"):
        raise UnsupportedModel(folder.name, f"its first module is {first_kind}; Transformer and CLIPModel are known")
    pooling: Pooling | None = None
    layers: list[torch.nn.Module] = []
    normalise = False
    for kind, path in modules[1:]:
        if normalise:
            raise UnsupportedModel(folder.name, f"its module {kind} comes after Normalize")
        if kind == "Pooling" and pooling is None and not layers:
            pooling = _pooling(folder.name, read_json(path / "config.json"))
        elif kind == "Dense":
            layers.append(_dense(folder.name, path))
        elif kind == "Normalize":
            normalise = True
        elif kind != "Dropout":
            raise UnsupportedModel(folder.name, f"its module {kind} has no place in a bundle")
    if pooling is None and first_kind == "Transformer":
        raise UnsupportedModel(folder.name, f"its {MODULES_FILE} has no Pooling")
    text = read_json(transformer / "sentence_bert_config.json", missing_ok=True)
    settings = read_json(folder / _SETTINGS, missing_ok=True)
    length = text.get("max_seq_length")
    prompts = settings.get("prompts") or {}
    return SentenceModel(
        transformer=transformer,
        pooling=pooling,
        projection=torch.nn.Sequential(*layers).eval() if layers else None,
        normalise=normalise,
        max_tokens=length if isinstance(length, int) else None,
        lowercase=bool(text.get("do_lower_case", False)),
        prompts={str(name): str(prompt) for name, prompt in prompts.items() if prompt},
        prefix_truncation=settings.get("truncate_dim") is not None or _trained_prefixes(folder),
    )


def _modules(folder: Path) -> list[tuple[str, Path]]:
    """Kind and folder of each module, in order."""
    path = folder / MODULES_FILE
    try:
        entries = sorted(json.loads(path.read_text(encoding="utf-8")), key=lambda entry: int(entry["idx"]))
        modules = [(str(entry["type"]).rpartition(".")[2], folder / str(entry["path"])) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{path} cannot be read: {error}") from error
    if not modules:
        raise SourceError(f"{path} lists no modules")
    return modules


def _pooling(name: str, config: Mapping[str, Any]) -> Pooling:
    """The one pooling mode that is on.

    Raises:
        UnsupportedModel: another one, or several.
    """
    if config.get("include_prompt", True) is False:
        raise UnsupportedModel(name, "its pooling leaves the prompt out")
    mode = config.get("pooling_mode")
    if isinstance(mode, str) and mode in _POOLING_NAMES:
        return _POOLING_NAMES[mode]
    chosen = [flag for flag, on in config.items() if flag.startswith("pooling_mode_") and on is True]
    if len(chosen) == 1 and chosen[0] in _POOLING_FLAGS:
        return _POOLING_FLAGS[chosen[0]]
    found = ", ".join(chosen) or mode or "none"
    raise UnsupportedModel(name, f"its pooling is {found}; a bundle has one of {', '.join(_POOLING_NAMES)}")


def _dense(name: str, folder: Path) -> torch.nn.Module:
    """A linear layer and its activation."""
    config = read_json(folder / "config.json")
    activation = str(config.get("activation_function", "torch.nn.modules.activation.Tanh")).rpartition(".")[2]
    if activation not in _ACTIVATIONS:
        raise UnsupportedModel(name, f"its Dense has the activation {activation}; known: {', '.join(_ACTIVATIONS)}")
    try:
        linear = torch.nn.Linear(
            int(config["in_features"]), int(config["out_features"]), bool(config.get("bias", True))
        )
        linear.load_state_dict({key.removeprefix("linear."): value for key, value in _weights(folder).items()})
    except (KeyError, RuntimeError, ValueError, TypeError) as error:
        raise SourceError(f"{folder}: the Dense module cannot be loaded: {str(error).splitlines()[0]}") from error
    return torch.nn.Sequential(linear.float(), _ACTIVATIONS[activation]())


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / "model.safetensors"
    try:
        if path.is_file():
            return dict(load_file(path))
        weights: dict[str, torch.Tensor] = torch.load(folder / "pytorch_model.bin", "cpu", weights_only=True)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise SourceError(f"{folder}: the Dense module cannot be loaded: {str(error).splitlines()[0]}") from error
    return weights


def _trained_prefixes(folder: Path) -> bool:
    """Whether the model card names the loss that trains prefixes of vectors."""
    card = folder / "README.md"
    return card.is_file() and "loss:MatryoshkaLoss" in card.read_text(encoding="utf-8", errors="replace")
