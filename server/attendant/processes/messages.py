"""What a server and a process of its own say to each other. All of it can be pickled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from attendant.core.errors import AttendantError


class Service(Protocol):
    """What runs in the process; :class:`attendant.engine.client.ThreadEngineClient` is one."""

    def start(self, deliver: Callable[[Any], None], on_death: Callable[[BaseException], None]) -> None:
        """Begin; may take minutes. Both callbacks may be called from any thread, the second at most once and last."""

    def tell(self, command: Any) -> None:
        """Hand a command over."""

    @property
    def busy_since_ns(self) -> int:
        """When what it is at began, monotonic; 0 while it is at nothing."""

    def where(self) -> str:
        """Where it stands in that."""

    def stop(self) -> None:
        """End; nothing is delivered any more. Blocks."""


@dataclass(frozen=True, slots=True)
class Made:
    """What was made in the process. ``facts``: of the services, for those outside; they can be pickled."""

    services: tuple[Service, ...]
    facts: Any


Tell = Callable[[str], None]
Make = Callable[..., Made]
"""A function of a module: it takes a ``Tell``, for a line of each stage, and arguments that can be pickled."""


@dataclass(frozen=True, slots=True)
class Begin:
    """To the process, once: where Python finds modules, and how the server has its interpreter and its log.

    Attributes:
        levels: of loggers by name.
    """

    path: tuple[str, ...]
    switch_interval_s: float
    levels: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Order:
    """To the process, once: what to make."""

    make: Make
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """From the process, while it makes what was ordered."""

    line: str


@dataclass(frozen=True, slots=True)
class Ready:
    """From the process: it has made it."""

    facts: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """From the process: what it was asked to make, or the service it was asked to start, raised this."""

    error: AttendantError
    service: int | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """To the process. It answers ``Started`` or ``Failed``."""

    service: int


@dataclass(frozen=True, slots=True)
class Started:
    """From the process."""

    service: int


@dataclass(frozen=True, slots=True)
class Command:
    """To a service."""

    service: int
    command: Any


@dataclass(frozen=True, slots=True)
class Delivered:
    """From a service."""

    service: int
    report: Any


@dataclass(frozen=True, slots=True)
class Died:
    """From a service: what ended it."""

    service: int
    error: AttendantError


@dataclass(frozen=True, slots=True)
class Ask:
    """To the process, which answers ``Told``, unless it hangs as a whole."""

    service: int


@dataclass(frozen=True, slots=True)
class Told:
    """Since when a service is at what it is at, 0 for nothing, and where it stands in that."""

    service: int
    busy_since_ns: int
    where: str


@dataclass(frozen=True, slots=True)
class Stop:
    """To a service, which answers ``Stopped``. The process ends after the last one's."""

    service: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """From a service: its last word."""

    service: int


@dataclass(frozen=True, slots=True)
class LogLine:
    """From the process: what a handler of its log got, its words written out."""

    record: dict[str, Any]
