"""What the page knows of each model: its state, what it can do, and what a box to try it has to offer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attendant.frontend.front_end import FrontEnd
from attendant.models.failed import FailedModel
from attendant.models.info import ModelInfo, ModelState

_CAUSE_OF_DEATH = "its engine has stopped after an internal error"


def models_of(front_end: FrontEnd | None) -> list[dict[str, Any]]:
    """Every model as JSON has it; none as long as they are being loaded."""
    return [] if front_end is None else [_model(info) for info in front_end.list_models()]


def model_teller(front_end: Callable[[], FrontEnd | None]) -> Callable[[], list[dict[str, Any]]]:
    """What tells of the models of ``front_end()``, asked each time."""
    return lambda: models_of(front_end())


def _model(info: ModelInfo | FailedModel) -> dict[str, Any]:
    if isinstance(info, FailedModel):
        return {"name": info.name, "state": "failed", "cause": info.cause, "can": list(info.capabilities)}
    told: dict[str, Any] = {
        "name": info.name,
        "state": info.state.value,
        "can": list(info.capabilities),
        "architecture": info.manifest.architecture,
        "precision": info.manifest.precision,
        "version": info.manifest.version,
    }
    if info.state is ModelState.FAILED:
        told["cause"] = _CAUSE_OF_DEATH
    if info.generation is not None:
        manifest = info.generation.manifest
        told["context_length"] = info.generation.context_length
        told["chats"] = bool(manifest.templates())
        if manifest.languages is not None:
            told["languages"] = sorted(manifest.languages.tokens)
        if manifest.speech is not None:
            told["speech_tasks"] = sorted(manifest.speech.tasks)
    return told
