"""What models do beside attention that a trace cannot follow, done in another way: the same values for every row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from attendant_export.tracing.languages import ADAPTED, keep_default_language, only_adapter
from attendant_export.tracing.methods import Method, replaced


def behind_last_token(ids: torch.Tensor, pad_id: int) -> torch.Tensor:
    """[rows, length] int64: each row of ``ids`` one place further on, behind its own last token.

    That is what mBART's and PLBART's decoders read where a call gives them nothing. transformers takes the last tokens
    of all rows with a ``squeeze`` that also drops the axis of a single row. As there, the last token of a row stands
    where its tokens that are not ``pad_id`` end.
    """
    last = (ids != pad_id).sum(dim=1, keepdim=True) - 1
    return torch.cat([ids.gather(1, last), ids[:, :-1]], dim=1)


def _shifted(model: Any) -> Method:
    original = model.forward

    def forward(
        self: Any, input_ids: Any = None, attention_mask: Any = None, decoder_input_ids: Any = None, **keywords: Any
    ) -> Any:
        if decoder_input_ids is None and input_ids is not None and keywords.get("decoder_inputs_embeds") is None:
            decoder_input_ids = behind_last_token(input_ids, self.config.pad_token_id)
        return original(input_ids, attention_mask, decoder_input_ids, **keywords)

    return forward


def _one_language(module: Any) -> Method:
    return only_adapter


_REPAIRS: dict[str, tuple[str, Callable[[Any], Method]]] = {
    "MBartModel": ("forward", _shifted),
    "PLBartModel": ("forward", _shifted),
    ADAPTED: ("lang_adapter", _one_language),
}
"""By class: the method, and what makes another of a module."""


@contextmanager
def repaired(model: Any) -> Iterator[None]:
    """While in it, ``model`` computes in ways that a trace can follow."""
    keep_default_language(model)
    found = [(module, _REPAIRS.get(type(module).__name__)) for module in model.modules()]
    with replaced((module, repair[0], repair[1](module)) for module, repair in found if repair is not None):
        yield
