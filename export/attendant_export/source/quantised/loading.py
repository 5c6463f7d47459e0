"""A model of transformers made of weights that are read one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from attendant_export.source.json_files import read_json
from attendant_export.source.left_out import LeftOut
from attendant_export.source.quantised.experts import join_experts
from attendant_export.source.quantised.weights import Weight

_SAYS_QUANTISED = ("quantization_config", "compression_config")


def empty_model(folder: Path, auto_class: str, left_out: LeftOut | None = None) -> Any:
    """The model of a folder's config without weights (they are on torch's device "meta").

    Args:
        auto_class: name of a class of transformers, e.g. ``AutoModelForCausalLM``. left_out: parts that it has not.
    """
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    _forget(config)
    config = left_out.config_of(config) if left_out is not None else config
    with torch.device("meta"):
        with left_out.building() if left_out is not None else nullcontext():
            whole = getattr(transformers, auto_class).from_config(config, attn_implementation="eager")
        if left_out is None:
            return whole
        return left_out.class_of(type(whole))._from_config(whole.config, attn_implementation="eager")


def load(
    folder: Path, auto_class: str, weights: Mapping[str, Weight], left_out: LeftOut | None = None
) -> tuple[Any, dict[str, Any]]:
    """The model of a folder's config with ``weights`` in float32, and what transformers says of the loading.

    Args:
        auto_class: name of a class of transformers, e.g. ``AutoModelForCausalLM``.
        left_out: parts of the model that are not loaded.
    """
    empty = empty_model(folder, auto_class, left_out)
    model, info = type(empty).from_pretrained(
        None,
        config=empty.config,
        state_dict=dict(join_experts(empty.config.model_type, weights)),
        dtype=torch.float32,
        attn_implementation="eager",
        output_loading_info=True,
        ignore_mismatched_sizes=True,
        **(left_out.names() if left_out is not None else {}),
    )
    if model.can_generate():
        model.generation_config = _generation_config(folder)
    return model, info


def _forget(config: Any) -> None:
    """Takes away what a config says of quantisation: the model is plain now."""
    for part in (config, *(getattr(config, name) for name in config.sub_configs if getattr(config, name, None))):
        for name in _SAYS_QUANTISED:
            if hasattr(part, name):
                delattr(part, name)


def _generation_config(folder: Path) -> Any:
    """As transformers has it when it loads a folder."""
    from transformers import GenerationConfig

    if (folder / "generation_config.json").is_file():
        return GenerationConfig.from_pretrained(folder, local_files_only=True)
    return GenerationConfig.from_model_config(read_json(folder / "config.json"))
