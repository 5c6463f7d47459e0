"""Encoders in float16: their guard against overflow, without a look at the values that a graph cannot branch on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class ClampsAlways(TorchFunctionMode):  # type: ignore[misc]
    """While in it, models that clamp a layer's output if any of it is not finite do so in any case, as others do.

    BART's layers ask ``torch.isfinite(hidden_states).all()``; the clamp leaves values up to 64,504 as they are.
    """

    def __torch_function__(
        self,
        function: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """See :class:`torch.overrides.TorchFunctionMode`."""
        return _NotAll() if function is torch.isfinite else function(*args, **(kwargs or {}))


class _NotAll:
    def all(self) -> bool:
        """Never."""
        return False
