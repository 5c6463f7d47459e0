"""Adapters of random numbers, written as peft writes them, and models that apply them without merging anything."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

BASE = "base_model.model."
SETTINGS: dict[str, Any] = {"peft_type": "LORA", "r": 4, "lora_alpha": 24, "target_modules": ["q_proj", "v_proj"]}


def write_adapter(
    folder: Path, model: Any, names: Iterable[str], *, prefix: str = BASE, whole: Iterable[str] = (), **settings: Any
) -> Path:
    """An adapter of the modules ``names`` of ``model``, which its settings should have among their targets.

    Args:
        whole: names of tensors that it has as a whole. settings: over ``SETTINGS``; None takes one away.
    """
    said = {name: value for name, value in {**SETTINGS, **settings}.items() if value is not None}
    draw = torch.Generator().manual_seed(3)

    def random(*shape: int, scale: float = 0.1) -> torch.Tensor:
        return torch.randn(*shape, generator=draw) * scale

    tensors: dict[str, torch.Tensor] = {}
    for name in names:
        module, rank = model.get_submodule(name), rank_of(said, name)
        outputs, inputs = shape_of(module)
        first, second = ("A", "B") if not isinstance(module, torch.nn.Embedding) else ("embedding_A", "embedding_B")
        end = ".weight" if first == "A" else ""
        tensors[f"{prefix}{name}.lora_{first}{end}"] = random(rank, inputs)
        tensors[f"{prefix}{name}.lora_{second}{end}"] = random(outputs, rank)
        if said.get("use_dora"):
            tensors[f"{prefix}{name}.lora_magnitude_vector"] = 1 + random(outputs)
        if said.get("lora_bias"):
            tensors[f"{prefix}{name}.lora_B.bias"] = random(outputs)
    for name in whole:
        tensors[prefix + name] = random(*dict(model.named_parameters(remove_duplicate=False))[name].shape, scale=0.3)
    folder.mkdir(parents=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(said))
    return folder


def adapted(model: Any, folder: Path, scales: dict[str, float], prefix: str = BASE) -> Any:
    """``model`` with the adapter applied in its forward passes, beside weights that stay as they are.

    Args:
        scales: by module, what the product of its matrices is multiplied by; worked out by hand.
    """
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in load_file(folder / "adapter_model.safetensors").items():
        name = key.removeprefix(prefix)
        module, _, part = name.partition(".lora_")
        if not part:
            where, _, last = name.rpartition(".")
            setattr(model.get_submodule(where), last, torch.nn.Parameter(tensor))
        else:
            parts.setdefault(module, {})[part.removesuffix(".weight")] = tensor
    for name, found in parts.items():
        model.get_submodule(name).register_forward_hook(_hook(found, scales[name]))
    return model


def _hook(parts: dict[str, torch.Tensor], scale: float) -> Any:
    def add(module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        (x,) = inputs
        if "embedding_A" in parts:
            return output + scale * parts["embedding_A"].T[x] @ parts["embedding_B"].T
        change = scale * ((x @ parts["A"].T) @ parts["B"].T + parts.get("B.bias", torch.zeros(())))
        if "magnitude_vector" not in parts:
            return output + change
        bias = module.bias if module.bias is not None else torch.zeros(())
        weight = module.weight if isinstance(module, torch.nn.Linear) else module.weight.T
        norm = torch.stack([row.norm() for row in weight + scale * parts["B"] @ parts["A"]])
        return (output - bias + change) * (parts["magnitude_vector"] / norm) + bias

    return add


def rank_of(settings: dict[str, Any], name: str) -> int:
    """The rank of a module, for patterns that are ends of names."""
    ends = settings.get("rank_pattern") or {}
    return next((int(rank) for end, rank in ends.items() if name.endswith(end)), int(settings["r"]))


def shape_of(module: Any) -> tuple[int, int]:
    """Outputs and inputs of a module."""
    turned = not isinstance(module, torch.nn.Linear)
    outputs, inputs = module.weight.shape[::-1] if turned else module.weight.shape
    return outputs, inputs
