"""The same model in another floating-point type, as transformers would have loaded it."""

from __future__ import annotations

import copy
from typing import Any

import torch


def in_dtype(model: Any, dtype: torch.dtype) -> Any:
    """``model`` itself if it has ``dtype``, else a copy in it; buffers that modelling code keeps wide stay so."""
    if model.dtype == dtype:
        return model
    from transformers.initialization import no_init_weights

    config = copy.deepcopy(model.config)
    with no_init_weights():
        other = type(model)._from_config(config, dtype=dtype, attn_implementation="eager").eval()
    other.load_state_dict(model.state_dict())
    other.tie_weights()
    return other
