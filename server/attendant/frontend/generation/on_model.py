"""A model that takes calls, and the parts of a call on the model that it found."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Protocol

from attendant.core.context import CallContext
from attendant.core.generation import GenerationPart
from attendant.core.receipt import Maker
from attendant.frontend.generation.hub import ModelHub
from attendant.frontend.generation.inner import InnerCall


class Generates(Protocol):
    """What takes the calls of a model."""

    @property
    def name(self) -> str:
        """What callers call it."""

    @property
    def maker(self) -> Maker:
        """What makes its answers."""

    @property
    def generation(self) -> ModelHub | None:
        """Where calls that generate go; None if it takes none."""


Parts = Callable[[InnerCall, CallContext, Generates], AsyncGenerator[GenerationPart, None]]


class OnModel:
    """Generations as parts of a call that was let in before, on the model that it found."""

    def __init__(self, parts: Parts, model: Generates) -> None:
        self._parts = parts
        self._model = model

    def generate_inner(self, inner: InnerCall, context: CallContext) -> AsyncGenerator[GenerationPart, None]:
        """One generation, for the call whose ``context`` it has; see GenerationService.generate."""
        return self._parts(inner, context.renewed(), self._model)
