"""One version of a model in the table of models: the state that it is in, and whether calls go to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from attendant.bundle import Capability, Manifest
from attendant.core.errors import AttendantError, Draining, EngineDead, Unavailable
from attendant.core.repository import full_name, version_order
from attendant.models.failed import FailedModel
from attendant.models.info import ModelState
from attendant.models.loaded import LoadedModel


class Serving(Protocol):
    """What takes the calls of one model that is in memory, and runs it."""

    @property
    def ready(self) -> bool:
        """Whether nothing of it has died."""

    async def start(self) -> None:
        """Begin. Raises what keeps the model from being run; then it is closed, too."""

    def refuse(self, who: str) -> None:
        """Take no new calls from now on; ``who``: shuts down, for the errors."""

    async def drain(self, timeout_s: float) -> None:
        """Let running calls finish for so many seconds, and fail the rest with Draining."""

    async def close(self) -> None:
        """Stop all threads; who is left fails. Nothing of it is used after that."""


S = TypeVar("S", bound=Serving)


@dataclass(slots=True, eq=False)
class Entry(Generic[S]):
    """One version of a model.

    Attributes:
        manifest: None if it cannot be read.
        version: empty if nobody knows it.
        holder: under which name the ledger has what it takes.
        serving: while it is ready or draining.
        failed: why it is not served, if it is not.
        current: calls that name no version of the model go to it; of a name it is one version's.
        path: of its bundle; None if it cannot be loaded again from there.
        restarting: its engine has died, and it is being loaded anew.
        hangs: what it is at does not end.
    """

    name: str
    manifest: Manifest | None
    capabilities: tuple[Capability, ...]
    version: str = ""
    holder: str = ""
    serving: S | None = None
    failed: FailedModel | None = None
    draining: bool = False
    current: bool = True
    path: Path | None = None
    restarting: bool = False
    hangs: bool = False

    @classmethod
    def of(cls, model: LoadedModel, serving: S | None = None, path: Path | None = None) -> Entry[S]:
        """A model in memory, of a bundle that was named."""
        return cls(model.name, model.manifest, model.capabilities, model.version, model.name, serving, path=path)

    @property
    def full_name(self) -> str:
        """How calls name this version."""
        return full_name(self.name, self.version)

    @property
    def state(self) -> ModelState:
        """The state that the model is in. One whose engine died has failed, though it still tells its calls, unless it
        is being loaded anew; one that hangs has failed until it goes on."""
        if self.failed is not None:
            return ModelState.FAILED
        if self.restarting or self.serving is None:
            return ModelState.LOADING
        if self.hangs or not self.serving.ready:
            return ModelState.FAILED
        return ModelState.DRAINING if self.draining else ModelState.READY

    @property
    def takes_calls(self) -> bool:
        """Whether calls are let in; who runs a dead engine tells them so."""
        return self.serving is not None and not self.draining

    @property
    def rank(self) -> tuple[int, tuple[int, str]]:
        """The greatest of a name is what calls go to that name no version: the newest version that takes calls, or else
        the one that comes, that leaves, that cannot be served."""
        if self.takes_calls:
            place = 3
        elif self.failed is not None:
            place = 0
        else:
            place = 2 if self.serving is None else 1
        return place, version_order(self.version)

    @property
    def failure(self) -> FailedModel | None:
        """Why it is not served, and whether calls that name no version hear of it; None if it is no failed one."""
        return None if self.failed is None else replace(self.failed, current=self.current)

    def refusal(self) -> AttendantError | None:
        """What ends a call to the model; None if it takes calls."""
        name = self.name if self.current else self.full_name
        if (failure := self.failure) is not None:
            return failure.refusal()
        if self.restarting:
            return EngineDead(f"the engine of model {name!r} has stopped, and is being started anew; try again")
        if self.serving is None:
            return Unavailable(f"model {name!r} is being loaded; try again")
        if self.draining:
            return Draining(f"model {name!r} is being unloaded and takes no new requests")
        if self.hangs:
            return Unavailable(f"model {name!r} hangs: a run of it does not end; ask another replica")
        return None
