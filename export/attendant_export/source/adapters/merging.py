"""Adds a LoRA adapter to the weights of a model (arXiv 2106.09685), and DoRA's magnitudes (arXiv 2402.09353)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from attendant_export.errors import SourceError
from attendant_export.source.adapters.files import Adapter
from attendant_export.source.adapters.names import Naming, naming_of
from attendant_export.source.adapters.settings import ALL_LINEAR

Parts = Mapping[str, torch.Tensor]
_MATRICES, _EMBEDDING = ("lora_A", "lora_B"), ("lora_embedding_A", "lora_embedding_B")
_MAGNITUDE, _BIAS = "lora_magnitude_vector", "lora_B.bias"


def merge(model: Any, adapter: Adapter) -> None:
    """Changes the weights of ``model``, float32, in place. A weight that two modules share is changed in the module
    that was adapted, and stays what it was in the other.

    Raises:
        SourceError: the adapter is of another model: names or shapes do not fit, or it lacks something that its
            settings say it has.
    """
    with torch.no_grad():
        _merge(model, adapter)


def _merge(model: Any, adapter: Adapter) -> None:
    naming = naming_of(model, (*adapter.parts, *(name.rpartition(".")[0] for name in adapter.whole)))
    modules = dict(model.named_modules())
    for name, tensor in adapter.whole.items():
        _replace(model, modules, adapter, naming, name, tensor)
    for name, parts in adapter.parts.items():
        module = modules.get(naming.to_model(name))
        if module is None:
            raise _stranger(adapter, name, "the model has no such module")
        if not _is_target(model, module, adapter, name):
            raise _stranger(adapter, name, "its adapter_config.json has this module not among its targets")
        _merge_module(module, adapter, name, parts)
    _check_whole(model, modules, adapter, naming)


def _merge_module(module: Any, adapter: Adapter, name: str, parts: Parts) -> None:
    rank, scale = adapter.settings.rank(name), adapter.settings.scale(name)
    embeds = isinstance(module, torch.nn.Embedding)
    wanted = {*(_EMBEDDING if embeds else _MATRICES)}
    wanted |= {_MAGNITUDE} if adapter.settings.use_dora else set()
    wanted |= {_BIAS} if adapter.settings.lora_bias and not embeds else set()
    if not isinstance(module, torch.nn.Linear | torch.nn.Embedding) and not _is_turned(module):
        raise _stranger(adapter, name, f"this module is {type(module).__name__}; linear ones and embeddings are merged")
    if embeds and adapter.settings.use_dora:
        raise _stranger(adapter, name, "DoRA of an embedding is not merged")
    if set(parts) != wanted:
        odd = sorted(set(parts) ^ wanted)[0]
        raise _stranger(adapter, name, f"{odd} is {'there, and not expected' if odd in parts else 'missing'}")
    turned = embeds or _is_turned(module)  # stored as [inputs, outputs]
    weight = module.weight.T if turned else module.weight  # [outputs, inputs]
    outputs, inputs = weight.shape
    first, second = (parts[part] for part in (_EMBEDDING if embeds else _MATRICES))
    for tensor, shape in ((first, (rank, inputs)), (second, (outputs, rank))):
        if tensor.shape != shape:
            raise _stranger(
                adapter, name, f"a matrix is {list(tensor.shape)}, and {list(shape)} by the model and its rank"
            )
    merged = weight + scale * (second.float() @ first.float())
    if adapter.settings.use_dora:
        magnitude = parts[_MAGNITUDE].float().flatten()
        if magnitude.shape != (outputs,):
            raise _stranger(
                adapter, name, f"{_MAGNITUDE} has {len(magnitude)} numbers, and the module {outputs} outputs"
            )
        merged = merged * (magnitude / torch.linalg.norm(merged, dim=1))[:, None]
    module.weight = torch.nn.Parameter((merged.T if turned else merged).contiguous())
    if _BIAS in wanted:
        if parts[_BIAS].shape != (outputs,):
            raise _stranger(
                adapter, name, f"{_BIAS} has {parts[_BIAS].numel()} numbers, and the module {outputs} outputs"
            )
        added = scale * parts[_BIAS].float()
        module.bias = torch.nn.Parameter(added if module.bias is None else module.bias + added)


def _replace(model: Any, modules: Mapping[str, Any], adapter: Adapter, naming: Naming, name: str, tensor: Any) -> None:
    where, _, last = name.rpartition(".")
    where = where.removesuffix(".base_layer")
    module = modules.get(naming.to_model(where))
    before = getattr(module, last, None) if module is not None else None
    if not isinstance(before, torch.Tensor):
        raise _stranger(adapter, name, "the model has no such tensor")
    if tensor.shape != before.shape:
        more = "; its base had other tokens" if module in (model.get_input_embeddings(), _head(model)) else ""
        raise _stranger(adapter, name, f"it is {list(tensor.shape)}, and {list(before.shape)} in the model{more}")
    if adapter.settings.saves(where) and isinstance(before, torch.nn.Parameter):
        setattr(module, last, torch.nn.Parameter(tensor.float()))
    else:  # what shares it has it, too
        before.data = tensor.float()


def _check_whole(model: Any, modules: Mapping[str, Any], adapter: Adapter, naming: Naming) -> None:
    """Refuses an adapter that lacks what its settings say that it has."""
    for name, module in modules.items():
        theirs = naming.to_adapter(name)
        if theirs not in adapter.parts and _is_target(model, module, adapter, theirs):
            raise _stranger(
                adapter, theirs, "its adapter_config.json has it among its targets, and its weights lack it"
            )
    for each in adapter.settings.modules_to_save:
        if not any(each in name.split(".") or f".{each}." in f".{name}" for name in adapter.whole):
            raise _stranger(adapter, each, "its adapter_config.json has it in modules_to_save, and its weights lack it")


def _is_target(model: Any, module: Any, adapter: Adapter, name: str) -> bool:
    linear = isinstance(module, torch.nn.Linear) or _is_turned(module)
    if adapter.settings.targets == ALL_LINEAR:
        return linear and module is not _head(model) and not adapter.settings.saves(name)
    return (linear or isinstance(module, torch.nn.Embedding)) and adapter.settings.adapts(name)


def _head(model: Any) -> Any:
    return model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None


def _is_turned(module: Any) -> bool:
    """Whether it is GPT-2's linear layer, which keeps its weight as [inputs, outputs]."""
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, Conv1D)


def _stranger(adapter: Adapter, name: str, why: str) -> SourceError:
    base = adapter.settings.base or "a base that it does not name"
    return SourceError(f"adapter {adapter.path}, of {base}, does not fit this model: {name}: {why}")
