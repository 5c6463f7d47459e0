"""A bundle that cannot be served: what is known of it, and why."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from attendant.bundle import Capability, Manifest
from attendant.core.errors import AttendantError, BundleError, ModelFailed
from attendant.core.repository import full_name
from attendant.models.garbage import forget_frames
from attendant.models.info import RouteInfo

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FailedModel:
    """A bundle without a model in memory.

    Attributes:
        name: what callers call it: the manifest's, or the folder's where that cannot be read.
        error: what kept it from being served.
        manifest: None if it cannot be read.
        current: calls that name no version of the model hear of it.
        route: of a route that leads to no model that is known.
    """

    name: str
    error: AttendantError
    manifest: Manifest | None = None
    current: bool = True
    route: RouteInfo | None = None

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
        logger.error("model %r is not served: %s", self.called, self.error)

    @property
    def called(self) -> str:
        """How calls name it: with its version, if another one is current."""
        return self.name if self.current else full_name(self.name, self.version)

    @property
    def cause(self) -> str:
        """What callers may know of the error: without paths of this machine, but with the name of the file."""
        if not isinstance(self.error, BundleError):
            return str(self.error)
        path = Path(self.error.path)
        cause = (
            self.error.cause.replace(str(path), path.name)
            .replace(f"{path.parent}/", "")
            .replace(str(path.parent), path.parent.name)
        )
        return cause if not path.suffix or path.name in (self.name, *cause.split()) else f"{path.name}: {cause}"

    @property
    def version(self) -> str:
        """Which version of the model it is; empty if nobody knows."""
        return self.manifest.version if self.manifest is not None else ""

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
        return ModelFailed(self.called, self.cause)
