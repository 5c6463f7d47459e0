"""Rotary embeddings whose frequencies depend on the longest sequence of the batch, made constant.

Dynamic-NTK and LongRoPE models change their frequencies for every position once a sequence outgrows the length they
were trained at. Keys in the cache would keep the old ones, and a row depend on its neighbours. So a bundle keeps
the frequencies of the trained length and its context ends there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_FIXED = "default"


@contextmanager
def fixed_frequencies(model: Any) -> Iterator[None]:
    """Keeps the frequencies of every rotary module of ``model`` as they are now. Undone on leaving."""
    changed: list[tuple[Any, Any]] = []
    try:
        for module in model.modules():
            rope_type = getattr(module, "rope_type", None)
            if isinstance(rope_type, str) and _varies(rope_type):
                changed.append((module, rope_type))
                module.rope_type = _FIXED
            elif isinstance(rope_type, dict) and any(_varies(kind) for kind in rope_type.values()):
                changed.append((module, rope_type))
                module.rope_type = {layer: _FIXED if _varies(kind) else kind for layer, kind in rope_type.items()}
        yield
    finally:
        for module, rope_type in changed:
            module.rope_type = rope_type


def frequency_limit(model: Any) -> int | None:
    """How many positions keep the trained frequencies, or None where they never change."""
    limits = []
    for module in model.modules():
        rope_type = getattr(module, "rope_type", None)
        kinds = rope_type if isinstance(rope_type, dict) else {None: rope_type}
        for layer, kind in kinds.items():
            if isinstance(kind, str) and _varies(kind):
                parameters = module.config.rope_parameters
                parameters = parameters[layer] if layer is not None else parameters
                limits.append(int(parameters.get("original_max_position_embeddings") or module.original_max_seq_len))
    return min(limits, default=None)


def _varies(rope_type: object) -> bool:
    return isinstance(rope_type, str) and (rope_type == "longrope" or "dynamic" in rope_type)
