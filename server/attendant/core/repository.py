"""What rooms say to each other of models that come and go: their versions, the state of each, loading and unloading."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Protocol

SEPARATOR = "@"
"""Between a model's name and a version, where a call names both in one string. No name and no version has it."""


def split_name(model: str) -> tuple[str, str]:
    """Name and version of a model as a call names it: ``name``, with an empty version, or ``name@version``."""
    name, _, version = model.partition(SEPARATOR)
    return name, version


def full_name(name: str, version: str = "") -> str:
    """How a call names a version of a model; without one, whichever version the model's policy says."""
    return f"{name}{SEPARATOR}{version}" if version else name


def version_order(version: str) -> tuple[int, str]:
    """By what versions are put in order: numbers by their size, after those that are none."""
    return (int(version), "") if version.isdecimal() else (-1, version)


class VersionState(enum.Enum):
    """The state that a version of a model is in. UNAVAILABLE: the repository has it, and it is not loaded."""

    UNAVAILABLE = "unavailable"
    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A version of a model, loaded or not.

    Attributes:
        cause: why it takes no calls, or why the files that the repository has by now are not loaded in place of those
            that take them, in words that callers may read; empty if all is well.
        current: calls that name no version go to it.
    """

    name: str
    version: str
    state: VersionState
    cause: str = ""
    current: bool = False


class Repository(Protocol):
    """The models of a server and of its repository, by name and version."""

    def index(self) -> tuple[ModelVersion, ...]:
        """Every version of every model, by name and then version, the bundles named at the start included."""

    async def load(self, name: str, version: str = "") -> tuple[ModelVersion, ...]:
        """Have a model served as the repository has it now: a new version is loaded, verified and warm before it takes
        calls, and the one before drains. Returns when that is so; a caller that goes away does not end it.

        Args:
            version: one; empty: those that the model's policy says.

        Returns:
            The versions that it has loaded, or had loaded already.

        Raises:
            ModelNotFound: the repository has none of this name or version.
            NotAllowed: models do not come and go by calls here.
            ModelFailed: it cannot be loaded, for the cause that is said; what was served before goes on.
            Unavailable: the server ends.
        """

    async def unload(self, name: str, version: str = "", drain_timeout_s: float | None = None) -> None:
        """Take a model out of service and free all that it has. Returns when that is so.

        Args:
            version: one; empty: all that are loaded.
            drain_timeout_s: seconds that its calls may go on; None: as the server has it for its end.

        Raises:
            ModelNotFound: no such model or version is loaded.
            NotAllowed: models do not come and go by calls here.
        """
