"""What an adapter_config.json says of a LoRA adapter. What would change answers and is not known here is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attendant_export.errors import SourceError
from attendant_export.source.json_files import read_json

CONFIG_FILE = "adapter_config.json"
ALL_LINEAR = "all-linear"

# Fields that are about training, or that matter only beside another field, which is looked at.
_NO_MATTER = (
    *("peft_type", "peft_version", "auto_mapping", "base_model_name_or_path", "revision", "task_type"),
    *("inference_mode", "lora_dropout", "fan_in_fan_out", "bias", "megatron_core", "qalora_group_size"),
    *("runtime_config", "base_model_class", "parent_library", "unsloth_fixed"),
    *("loftq_config", "eva_config", "corda_config", "lora_ga_config"),
)
_NEW_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Ways to begin that change the base's weights, too; an adapter that was not converted needs that changed base."""


@dataclass(frozen=True)
class AdapterSettings:
    """Field by field as in peft's ``LoraConfig``.

    Attributes:
        base: name of the model that it was trained on, or "".
        targets: ends of names of modules, a pattern of whole names, or :data:`ALL_LINEAR`.
    """

    base: str
    targets: str | tuple[str, ...]
    r: int = 8
    lora_alpha: float = 8
    excluded: str | tuple[str, ...] = ()
    modules_to_save: tuple[str, ...] = ()
    layers: tuple[int, ...] = ()
    layers_pattern: tuple[str, ...] = ()
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)
    use_rslora: bool = False
    use_dora: bool = False
    lora_bias: bool = False

    def rank(self, name: str) -> int:
        """The rank at the module of this name."""
        return int(_by_pattern(self.rank_pattern, name, self.r))

    def scale(self, name: str) -> float:
        """What the product of both matrices is multiplied by at the module of this name: alpha / r, or alpha / sqrt(r)
        with rank-stabilised adapters (arXiv 2312.03732)."""
        rank = self.rank(name)
        return float(_by_pattern(self.alpha_pattern, name, self.lora_alpha) / (rank**0.5 if self.use_rslora else rank))

    def saves(self, name: str) -> bool:
        """Whether the module of this name, or what it is in, was trained as a whole."""
        return any(re.match(rf"(.*\.)?{re.escape(each)}(\..*)?$", name) for each in self.modules_to_save)

    def adapts(self, name: str) -> bool:
        """Whether the module of this name is one of its targets, as peft decides it; for all but ``ALL_LINEAR``."""
        if self.saves(name) or _named(self.excluded, name) or not _named(self.targets, name):
            return False
        if not self.layers or isinstance(self.targets, str) or name in self.targets:
            return True
        patterns = [rf"(?:^|.*?\.){pattern}" for pattern in self.layers_pattern] or [r".*?\.[^.]*"]
        found = next((found for each in patterns if (found := re.match(rf"{each}\.(\d+)\.", name))), None)
        return found is not None and int(found[1]) in self.layers


def read_settings(folder: Path) -> AdapterSettings:
    """What the folder's adapter_config.json says.

    Raises:
        SourceError: missing, unreadable, of another kind than LoRA, or with a field that is not known; names it.
    """
    path = folder / CONFIG_FILE
    found = read_json(path)
    kind = found.get("peft_type")
    if kind != "LORA":
        raise SourceError(f"{path}: peft_type is {kind!r}; adapters of LORA are merged, and no others")
    _check_beginning(path, found.get("init_lora_weights"))
    settings = AdapterSettings(
        base=str(found.get("base_model_name_or_path") or ""),
        targets=_targets(path, found.get("target_modules")),
        r=_number(path, found, "r", int, 8),
        lora_alpha=_number(path, found, "lora_alpha", (int, float), 8),
        excluded=_names(path, found, "exclude_modules", pattern_ok=True),
        modules_to_save=tuple(_names(path, found, "modules_to_save")),
        layers=_layers(path, found.get("layers_to_transform")),
        layers_pattern=_layers_pattern(path, found),
        rank_pattern=_numbers(path, found, "rank_pattern"),
        alpha_pattern=_numbers(path, found, "alpha_pattern"),
        use_rslora=bool(found.get("use_rslora")),
        use_dora=bool(found.get("use_dora")),
        lora_bias=bool(found.get("lora_bias")),
    )
    known = {
        *_NO_MATTER,
        *("init_lora_weights", "target_modules", "exclude_modules", "layers_to_transform"),
        *(
            name
            for name in AdapterSettings.__dataclass_fields__
            if name not in ("base", "targets", "excluded", "layers")
        ),
    }
    strange = sorted(name for name, value in found.items() if value and name not in known)
    if strange:
        raise SourceError(f"{path}: {strange[0]} is {str(found[strange[0]])[:80]}, which is not known to the exporter")
    if settings.use_dora and settings.lora_bias:
        raise SourceError(f"{path}: use_dora and lora_bias together, which peft does not have")
    return settings


def _check_beginning(path: Path, beginning: object) -> None:
    if isinstance(beginning, str) and beginning.lower().startswith(_NEW_BASE):
        raise SourceError(
            f"{path}: init_lora_weights is {beginning!r}, which changed the weights of the base, too; save the adapter "
            "with peft's path_initial_model_for_weight_conversion, which makes it one of the plain base"
        )


def _targets(path: Path, value: object) -> str | tuple[str, ...]:
    if isinstance(value, str) and value.lower() == ALL_LINEAR:
        return ALL_LINEAR
    names: str | tuple[str, ...] = _names(path, {"target_modules": value}, "target_modules", pattern_ok=True)
    return names


def _names(path: Path, found: Mapping[str, Any], name: str, *, pattern_ok: bool = False) -> Any:
    value = found.get(name)
    if value is None:
        return ()
    if pattern_ok and isinstance(value, str):
        try:
            re.compile(value)
        except re.error as error:
            raise SourceError(f"{path}: {name} is {value!r}, which is no pattern: {error}") from error
        return value
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise SourceError(f"{path}: {name} is {str(value)[:80]}, not a list of names")
    return tuple(value)


def _layers_pattern(path: Path, found: Mapping[str, Any]) -> tuple[str, ...]:
    value = _names(path, found, "layers_pattern", pattern_ok=True)
    return ((value,) if value else ()) if isinstance(value, str) else value


def _layers(path: Path, value: object) -> tuple[int, ...]:
    layers = [value] if isinstance(value, int) else value or []
    if not isinstance(layers, list) or not all(isinstance(each, int) for each in layers):
        raise SourceError(f"{path}: layers_to_transform is {str(value)[:80]}, not a list of numbers of layers")
    return tuple(layers)


def _number(path: Path, found: Mapping[str, Any], name: str, kind: Any, default: int) -> Any:
    value = found.get(name, default)
    if isinstance(value, bool) or not isinstance(value, kind) or value <= 0:
        raise SourceError(f"{path}: {name} is {value!r}, not a number above 0")
    return value


def _numbers(path: Path, found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = found.get(name) or {}
    if not isinstance(value, dict):
        raise SourceError(f"{path}: {name} is {str(value)[:80]}, not an object of numbers by name")
    return {each: _number(path, value, each, (int, float), 1) for each in value}


def _named(wanted: str | Sequence[str], name: str) -> bool:
    if isinstance(wanted, str):
        return re.fullmatch(wanted, name) is not None
    return any(name == each or name.endswith(f".{each}") for each in wanted)


def _by_pattern(patterns: Mapping[str, Any], name: str, default: float) -> float:
    return next((value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", name)), default)
