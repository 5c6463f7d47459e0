"""What the page knows of each model: its state, what it can do, and what a box to try it has to offer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attendant.bundle import TextInput
from attendant.frontend.front_end import FrontEnd
from attendant.models.failed import FailedModel
from attendant.models.info import ModelInfo, ModelState

_CAUSE_OF_DEATH = "its engine has stopped after an internal error"


def model_teller(front_end: Callable[[], FrontEnd | None], *, explains: bool) -> Callable[[], list[dict[str, Any]]]:
    """What tells of every model of ``front_end()``, asked each time, as JSON has it; of none as long as they are being
    loaded. ``explains``: what they looked at is served."""

    def tell() -> list[dict[str, Any]]:
        served = front_end()
        return [] if served is None else [_model(info, explains) for info in served.list_models() if info.current]

    return tell


def _model(info: ModelInfo | FailedModel, explains: bool) -> dict[str, Any]:
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
    if explains and info.manifest.attention is not None:
        told["looks"] = [layers.kind for layers in info.manifest.attention.kinds]
        told["compares_words"] = isinstance(getattr(info.manifest, "input", None), TextInput)
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
