"""X-MOD's adapters of languages: the rows of a bundle go through those of the model's default language."""

from __future__ import annotations

from typing import Any

import torch

from attendant_export.errors import UnsupportedModel

ADAPTED = "XmodOutput"
"""The class that has them; its method ``lang_adapter`` sorts rows by their languages, which no graph can."""


def keep_default_language(model: Any) -> None:
    """Leaves the adapters of other languages out of ``model``, for good.

    Raises:
        UnsupportedModel: its config names no default language.
    """
    for module in model.modules():
        if type(module).__name__ == ADAPTED:
            language = model.config.default_language
            if language is None:
                reason = "its config.json has no default_language, and requests do not say which language they are in"
                raise UnsupportedModel(str(model.config.model_type), reason)
            module.adapter_modules = torch.nn.ModuleDict({language: module.adapter_modules[language]})


def only_adapter(self: Any, lang_ids: object, hidden_states: torch.Tensor) -> torch.Tensor:
    """In place of ``lang_adapter`` where one language is left: all rows go through its adapter."""
    residual = hidden_states
    if self.adapter_layer_norm is not None:
        hidden_states = self.adapter_layer_norm(hidden_states)
    elif self.adapter_reuse_layer_norm:
        hidden_states = self.LayerNorm(hidden_states)
    if self.ln_before_adapter:
        residual = hidden_states
    (adapter,) = self.adapter_modules.values()
    adapted: torch.Tensor = adapter(hidden_states) + residual
    return adapted
