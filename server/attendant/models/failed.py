"""A bundle that cannot be served: what is known of it, and why."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from attendant.bundle import Capability, Manifest
from attendant.core.errors import AttendantError, BundleError, ModelFailed
from attendant.models.garbage import forget_frames

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FailedModel:
    """A bundle without a model in memory.

    Attributes:
        name: what callers call it: the manifest's, or the folder's where that cannot be read.
        error: what kept it from being served.
        manifest: None if it cannot be read.
    """

    name: str
    error: AttendantError
    manifest: Manifest | None = None

    @classmethod
    def of(cls, name: str, error: Exception, manifest: Manifest | None) -> FailedModel:
        """A model that raised ``error``; one that nobody foresaw says what it is. Nothing of the model is kept."""
        if isinstance(error, AttendantError):
            forget_frames(error)
            return cls(name, error, manifest)
        logger.error("model %r raised an error that nobody foresaw", name, exc_info=error)
        forget_frames(error)
        unforeseen = BundleError(name, f"cannot be loaded: {type(error).__name__}: {error}")
        unforeseen.__cause__ = error
        return cls(name, unforeseen, manifest)

    def give_up(self, *, strict: bool) -> None:
        """Say in the log that it is not served. ``strict``: raise its error instead."""
        if strict:
            raise self.error
        logger.error("model %r is not served: %s", self.name, self.error)

    @property
    def cause(self) -> str:
        """What callers may know of the error: without paths of this machine."""
        if not isinstance(self.error, BundleError):
            return str(self.error)
        path = Path(self.error.path)
        return (
            self.error.cause.replace(str(path), path.name)
            .replace(f"{path.parent}/", "")
            .replace(str(path.parent), path.parent.name)
        )

    @property
    def ready(self) -> bool:
        """It takes no requests."""
        return False

    @property
    def capabilities(self) -> tuple[Capability, ...]:
        """What it could do; nothing if nobody knows."""
        return self.manifest.capabilities if self.manifest is not None else ()

    def refusal(self) -> ModelFailed:
        """What ends a call to it."""
        return ModelFailed(self.name, self.cause)
