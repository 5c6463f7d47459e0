"""How busy the models of a server are, one at a time, for those who choose among servers."""

from __future__ import annotations

from attendant.frontend.generation.recent import LoadNow
from attendant.frontend.tokenizer import HasWords
from attendant.models.lookup import ENGINE
from attendant.models.table import Finder


class LoadService:
    """How busy models are, which callers find in the table."""

    def __init__(self, models: Finder[HasWords]) -> None:
        self._models = models

    def of(self, model: str) -> LoadNow:
        """How busy a model is that generates or embeds. Raises ModelNotFound, ModelFailed, Unavailable."""
        return load_of(self._models.find(model, ENGINE))


def load_of(served: HasWords) -> LoadNow:
    """How busy a model is."""
    if served.generation is not None:
        return served.generation.load()
    hubs = [encoder.hub for encoder in served.encoders.values()]
    return LoadNow(
        running=sum(hub.num_running() for hub in hubs),
        waiting=sum(hub.num_waiting() for hub in hubs),
        max_running=sum(hub.model.limits.max_rows for hub in hubs),
    )
