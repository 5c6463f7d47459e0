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
from attendant_export.source.folder import CONFIG_FILE, SourceFolder

MODULES_FILE = "modules.json"
_SETTINGS = "config_sentence_transformers.json"
# In the order in which they are concatenated.
_POOLING_FLAGS: dict[str, Pooling] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_weightedmean_tokens": "weighted_mean",
    "pooling_mode_lasttoken": "last",
}
_POOLING_NAMES: dict[str, Pooling] = {
    "cls": "cls",
    "max": "max",
    "mean": "mean",
    "mean_sqrt_len_tokens": "mean_sqrt_len",
    "weightedmean": "weighted_mean",
    "lasttoken": "last",
}
_USUAL_PROMPTS = {"query": "", "document": ""}  # names that sentence-transformers knows of every model
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
        poolings: one after another; none where the transformer gives one vector itself (CLIP).
        projection: what comes after pooling, [rows, hidden] -> [rows, dimensions] float32, or None.
        normalise: whether vectors are divided by their length.
        max_tokens: of a text, or None. lowercase: texts are put into lower case first.
        prompts: by name. default_prompt: the name of the one for texts without. include_prompt: whether pooling reads
            its tokens.
        truncate_dim: how many numbers of a vector are given, or None for all.
        prefix_truncation: the folder or the model card says that shorter prefixes were trained, too.
    """

    transformer: SourceFolder
    poolings: tuple[Pooling, ...] = ("mean",)
    projection: torch.nn.Module | None = None
    normalise: bool = False
    max_tokens: int | None = None
    lowercase: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    include_prompt: bool = True
    truncate_dim: int | None = None
    prefix_truncation: bool = False


def read_sentence_model(source: SourceFolder) -> SentenceModel | None:
    """What ``source`` says; None if it is not one of sentence-transformers.

    Raises:
        SourceError: a file is missing or cannot be read.
        UnsupportedModel: a module or a setting that the bundle has no place for.
    """
    if not source.has(MODULES_FILE):
        return None
    folder = source.path
    modules = _modules(folder)
    first_kind, first = modules[0]
    transformer = source if first == folder else SourceFolder(first, adapters=source.adapters)
    if first_kind not in ("Transformer", "CLIPModel"):
        raise UnsupportedModel(folder.name, f"its first module is {first_kind}; Transformer and CLIPModel are known")
    poolings: tuple[Pooling, ...] = ()
    include_prompt = True
    layers: list[torch.nn.Module] = []
    normalise = False
    for kind, path in modules[1:]:
        if normalise:
            raise UnsupportedModel(folder.name, f"its module {kind} comes after Normalize")
        if kind == "Pooling" and not poolings and not layers:
            config = SourceFolder(path).json(CONFIG_FILE)
            poolings, include_prompt = _poolings(folder.name, config), config.get("include_prompt", True) is not False
        elif kind == "Dense":
            layers.append(_dense(folder.name, path))
        elif kind == "Normalize":
            normalise = True
        elif kind != "Dropout":
            raise UnsupportedModel(folder.name, f"its module {kind} has no place in a bundle")
    if not poolings and first_kind == "Transformer":
        raise UnsupportedModel(folder.name, f"its {MODULES_FILE} has no Pooling")
    text = transformer.json("sentence_bert_config.json", missing_ok=True)
    settings = source.json(_SETTINGS, missing_ok=True)
    length = text.get("max_seq_length")
    prompts, default_prompt = _prompts(folder, settings)
    truncate_dim = _truncate_dim(folder, settings)
    return SentenceModel(
        transformer=transformer,
        poolings=poolings,
        projection=torch.nn.Sequential(*layers).eval() if layers else None,
        normalise=normalise,
        max_tokens=length if isinstance(length, int) else None,
        lowercase=bool(text.get("do_lower_case", False)),
        prompts=prompts,
        default_prompt=default_prompt,
        include_prompt=include_prompt,
        truncate_dim=truncate_dim,
        prefix_truncation=truncate_dim is not None or _trained_prefixes(folder),
    )


def _prompts(folder: Path, settings: Mapping[str, Any]) -> tuple[dict[str, str], str | None]:
    """Prompts by name, an empty one being no prompt under a name, and the name of the default one.

    Raises:
        SourceError: they are not texts by name, or the default is none of them.
    """
    given = settings.get("prompts") or {}
    if not isinstance(given, Mapping) or not all(text is None or isinstance(text, str) for text in given.values()):
        raise SourceError(f"{folder / _SETTINGS}: prompts is {given!r}; allowed: texts by name")
    prompts = {**_USUAL_PROMPTS, **{str(name): text or "" for name, text in given.items()}}
    default = settings.get("default_prompt_name")
    if default is not None and default not in prompts:
        listed = ", ".join(map(repr, prompts))
        raise SourceError(f"{folder / _SETTINGS}: default_prompt_name is {default!r}; allowed: {listed}")
    return prompts, default


def _truncate_dim(folder: Path, settings: Mapping[str, Any]) -> int | None:
    """How many numbers of a vector are given.

    Raises:
        SourceError: no such number.
    """
    found = settings.get("truncate_dim")
    if found is not None and (isinstance(found, bool) or not isinstance(found, int) or found < 1):
        raise SourceError(
            f"{folder / _SETTINGS}: truncate_dim is {found!r}; allowed: a whole number from 1 on, or null"
        )
    return found


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


def _poolings(name: str, config: Mapping[str, Any]) -> tuple[Pooling, ...]:
    """The pooling modes that are on, in the order of their vectors; the mean where the file names none.

    Raises:
        UnsupportedModel: another one.
    """
    mode = config.get("pooling_mode")
    if mode is not None:
        modes = tuple(mode) if isinstance(mode, (list, tuple)) else (mode,)
        known: Mapping[str, Pooling] = _POOLING_NAMES
    else:
        on = [flag for flag, value in config.items() if flag.startswith("pooling_mode_") and value is True]
        order = list(_POOLING_FLAGS)
        modes = tuple(sorted(on, key=lambda flag: order.index(flag) if flag in _POOLING_FLAGS else -1))
        known = _POOLING_FLAGS
    strange = [each for each in modes if not (isinstance(each, str) and each in known)]
    if strange:
        raise UnsupportedModel(name, f"its pooling is {strange[0]}; a bundle has {', '.join(_POOLING_NAMES)}")
    return tuple(known[each] for each in modes) or ("mean",)


def _dense(name: str, folder: Path) -> torch.nn.Module:
    """A linear layer and its activation."""
    config = SourceFolder(folder).json(CONFIG_FILE)
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
