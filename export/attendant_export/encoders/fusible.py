"""Finds by trial whether a model that takes images or sound attends through our function."""

from __future__ import annotations

from typing import Any

import torch

from attendant_export.encoders.trace import Feeds, switched
from attendant_export.errors import ExportError, failures_of

_ALLOWED = 1e-3  # in units of the outputs' standard deviation


def is_fusible(module: Any, feeds: Feeds, wanted: torch.Tensor) -> bool:
    """Whether ``module`` (an EncoderModule over its ``model``) gives ``wanted`` with our attention, and calls it.

    Where not, the model is exported with its own attention, not fused: Swin adds a mask of its own, for one.
    """
    try:
        with failures_of(module.attention.architecture), torch.no_grad(), switched(module.model, module.attention):
            found = module(feeds)
    except ExportError:
        return False
    if module.attention.calls == 0:
        return False
    return float((found - wanted).abs().max()) <= _ALLOWED * max(1e-3, float(wanted.std()))
