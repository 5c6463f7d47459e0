"""Which module of a model an adapter means: classes of transformers have one module under names of their own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Naming:
    """Names of modules begin with ``theirs`` in the adapter where they begin with ``ours`` in the model."""

    theirs: str
    ours: str

    def to_model(self, name: str) -> str:
        """The model's name of what the adapter calls ``name``."""
        return self.ours + name.removeprefix(self.theirs) if name.startswith(self.theirs) else name

    def to_adapter(self, name: str) -> str:
        """The adapter's name of what the model calls ``name``."""
        return self.theirs + name.removeprefix(self.ours) if name.startswith(self.ours) else name


def naming_of(model: Any, names: Iterable[str]) -> Naming:
    """The naming under which the model has most of ``names``, names of modules; the plain one where that is one."""
    inner = f"{model.base_model_prefix}." if model.base_model_prefix else ""
    namings = [Naming("", ""), Naming(inner, ""), Naming("", inner)]
    if hasattr(model, "get_decoder"):  # a text model as a part of one that sees or hears, in several versions
        namings += [Naming("model.language_model.", inner), Naming("language_model.model.", inner)]
        namings += [Naming("language_model.", ""), Naming("model.text_model.", inner)]
    known = {name for name, _ in model.named_modules()}
    wanted = list(names)
    return max(namings, key=lambda naming: sum(naming.to_model(name) in known for name in wanted))
