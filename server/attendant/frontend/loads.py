"""How busy the models of a server are, one at a time, for those who choose among servers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from attendant.bundle import EncoderTask
from attendant.frontend.encoding.served import ServedEncoder
from attendant.frontend.generation.hub import ModelHub
from attendant.frontend.generation.recent import LoadNow
from attendant.models.lookup import ENGINE
from attendant.models.table import Finder


class Works(Protocol):
    """A model in memory."""

    @property
    def generation(self) -> ModelHub | None:
        """Where calls that generate go; None if it takes none."""

    @property
    def encoders(self) -> Mapping[EncoderTask, ServedEncoder]:
        """Where calls go, by their task."""


class LoadService:
    """How busy models are, which callers find in the table."""

    def __init__(self, models: Finder[Works]) -> None:
        self._models = models

    def of(self, model: str) -> LoadNow:
        """How busy a model is that generates or embeds. Raises ModelNotFound, ModelFailed, Unavailable."""
        served = self._models.find(model, ENGINE)
        if served.generation is not None:
            return served.generation.load()
        hubs = [encoder.hub for encoder in served.encoders.values()]
        return LoadNow(
            running=sum(hub.num_running() for hub in hubs),
            waiting=sum(hub.num_waiting() for hub in hubs),
            max_running=sum(hub.model.limits.max_rows for hub in hubs),
        )
