"""What a torch model looks at, with its eager attention: what graphs are compared with, and traced from."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from attendant.bundle import AttentionKind

from attendant_export.attention.session import Array, Inputs, Seen

_NAMES: dict[AttentionKind, tuple[str, ...]] = {
    "self": ("decoder_attentions", "attentions"),
    "encoder": ("encoder_attentions",),
    "cross": ("cross_attentions",),
}
"""What transformers calls them in a model's output."""


@dataclass(frozen=True)
class Look:
    """A model, and one sequence that it is looked at with.

    Attributes:
        model: of transformers, float32, in eval mode, with eager attention.
        inputs: see :data:`attendant_export.attention.session.Inputs`.
        around: what its calls stand in, for one whose plain attention has to be chosen.
    """

    model: Any
    inputs: Inputs
    around: Callable[[], AbstractContextManager[None]] = nullcontext

    def keywords(self, inputs: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        """Arguments of the model's call that asks for attention."""
        taken = inspect.signature(self.model.forward).parameters
        given = {name: tensor for name, tensor in inputs.items() if name in taken}
        cache = {"use_cache": False} if "use_cache" in taken else {}
        # Asked for it, a model would leave another implementation for its eager one.
        asked = {"output_attentions": True} if self.model.config._attn_implementation == "eager" else {}
        return {**given, **cache, **asked}

    def run(self, inputs: Mapping[str, torch.Tensor]) -> Any:
        """The model's output."""
        with self.around():
            return self.model(**self.keywords(inputs))


def look_torch(look: Look) -> Seen:
    """What the model itself says."""
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in look.inputs.items()}
    with torch.no_grad(), watched_head(look.model) as head:
        output = look.run(tensors)
    weights = {kind: [each[0].float().numpy() for each in layers] for kind, layers in attentions_of(output).items()}
    hidden = head.seen
    return Seen(weights, None if hidden is None else _flat(hidden))


def attentions_of(output: Any) -> dict[AttentionKind, list[torch.Tensor]]:
    """The weights, [1, num_heads, queries, keys], of every layer that attends, by kind; those that there are."""
    found: dict[AttentionKind, list[torch.Tensor]] = {}
    for kind, names in _NAMES.items():
        layers = next((output[name] for name in names if output.get(name)), ())
        if tensors := [each for each in layers if each is not None]:
            found[kind] = tensors
    return found


@dataclass
class Head:
    """``seen``: what the last run gave to the head, [1, tokens, channels]; None while there was no run."""

    seen: torch.Tensor | None = field(default=None)


@contextmanager
def watched_head(model: Any) -> Iterator[Head]:
    """Sees what goes into the product with the vocabulary, or comes out of the model below its head."""
    head = Head()

    def before(module: Any, arguments: tuple[torch.Tensor, ...]) -> None:
        head.seen = arguments[0]

    def after(module: Any, arguments: Any, output: Any) -> None:
        head.seen = output if isinstance(output, torch.Tensor) else output[0]

    vocabulary = _vocabulary(model)
    if vocabulary is not None:
        handle = vocabulary.register_forward_pre_hook(before)
    else:
        handle = model.base_model.register_forward_hook(after)
    try:
        yield head
    finally:
        handle.remove()


def _vocabulary(model: Any) -> Any:
    try:
        return model.get_output_embeddings()
    except (AttributeError, NotImplementedError):
        return None


def _flat(hidden: torch.Tensor) -> Array:
    found: Array = hidden.float().reshape(-1, hidden.shape[-1]).numpy()
    return found
