"""Where the time of a call went: stages with begin and end, noted by whoever does something for the call, and kept
until its end tells whether anybody wants them. The room of traces makes spans of them; no other knows how."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from attendant.core.context import CallContext, TraceContext

Value = str | bool | int | float | tuple[str, ...]
"""What may be noted of a stage."""

Exemplar = dict[str, str] | None
"""Labels that lead from a figure to the trace of one call that it was made of; None for no such call."""

MOST_STAGES = 1000
"""Stages of one call; further ones are counted and not kept."""


class Stage:
    """A stretch of a call's way, and those within it. Belongs to the event loop's thread.

    As a context manager it ends when the block does, and notes what class of exception ended it.

    Attributes:
        name: what is done.
        trail: of the call; None of :data:`NOWHERE`, which keeps nothing.
        begin_ns, end_ns: monotonic; ``end_ns`` is 0 until it has ended.
        attributes: what was noted of it, in words of ours.
        parts: stages within it, in the order they were begun.
        error: the class of the exception that ended it, or None.
        run: what ran a part of the call together with parts of others, if this was such a run.
    """

    __slots__ = ("attributes", "begin_ns", "end_ns", "error", "name", "parts", "run", "trail")

    def __init__(self, name: str, trail: Trail | None, begin_ns: int, attributes: dict[str, Value]) -> None:
        self.name = name
        self.trail = trail
        self.begin_ns = begin_ns
        self.end_ns = 0
        self.attributes = attributes
        self.parts: list[Stage] = []
        self.error: type[BaseException] | None = None
        self.run: SharedRun | None = None

    @property
    def noted(self) -> bool:
        """Whether anything is kept of it."""
        return self.trail is not None

    def begin(self, name: str, at_ns: int = 0, **attributes: Value) -> Stage:
        """A stage within this one that begins now, or at ``at_ns``."""
        if self.trail is None:
            return NOWHERE
        part = Stage(name, self.trail, at_ns or time.monotonic_ns(), attributes)
        if self.trail.has_room():
            self.parts.append(part)
        return part

    def add(self, name: str, begin_ns: int, end_ns: int, **attributes: Value) -> Stage:
        """A stage within this one that is over; one that ends before it begins takes no time."""
        part = self.begin(name, begin_ns, **attributes)
        part.end(max(begin_ns, end_ns))
        return part

    def note(self, **attributes: Value) -> None:
        """Say more of it."""
        if self.trail is not None:
            self.attributes.update(attributes)

    def end(self, at_ns: int = 0) -> None:
        """It ends now, or at ``at_ns``. The first end counts."""
        if self.trail is not None:
            self.end_ns = self.end_ns or at_ns or time.monotonic_ns()

    def fail(self, error: type[BaseException]) -> None:
        """It has ended with such an error."""
        if self.trail is not None:
            self.error = error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None) -> None:
        if self.trail is not None:
            self.end()
            if kind is not None:
                self.error = self.error or kind


class _Nowhere(Stage):
    """The stage of calls whose way nobody notes; it is pickled as what it is."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("", None, 0, {})

    def __reduce__(self) -> str:
        return "NOWHERE"


NOWHERE: Stage = _Nowhere()


class SharedRun:
    """A run of a model over parts of several calls.

    Attributes:
        begin_ns, end_ns: monotonic.
        attributes: what is known of it.
        trails: of the calls whose way is noted, each once.
        span: what traces make of it once; nobody else looks.
    """

    __slots__ = ("attributes", "begin_ns", "end_ns", "span", "trails")

    def __init__(self, begin_ns: int, end_ns: int, trails: tuple[Trail, ...], attributes: Mapping[str, Value]) -> None:
        self.begin_ns, self.end_ns = begin_ns, end_ns
        self.trails = trails
        self.attributes = attributes
        self.span: object = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """A call as it comes: by which protocol (``grpc``, ``http``, or as a ``part`` of another one), what it asks for,
    and what is known of it."""

    protocol: str
    name: str
    attributes: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How a call ended.

    Attributes:
        status: in the protocol's words: ``OK``, ``404``.
        failed: whether the server answers for it.
        refused: whether the caller has no answer for any other reason, its own cancel included.
        message: what the caller heard; it may quote the call.
        cancelled: whether that reason is its own cancel.
    """

    status: str
    failed: bool = False
    refused: bool = False
    message: str = ""
    cancelled: bool = False


class Keeper(Protocol):
    """What decides which trails are kept, and takes those that are."""

    def keeps(self, trail: Trail, how: CallEnd) -> bool:
        """Whether a call that ends so is kept, that was not chosen at its begin."""
        ...

    def take(self, trail: Trail) -> None:
        """A trail that is kept is complete."""
        ...


class Trail:
    """All that is noted of one call, until it has ended and so has everything that was begun for it.

    Args:
        trace_id: 32 hexadecimal digits. span_id: 16, of the whole call. parent: the caller's, or None.
        sampled: whether it is kept, however it ends.
        slow_ns: nanoseconds from which on it is kept because it was slow; None: none.
        text_limit: characters of a prompt, and of an answer, that may be noted; 0 for none.
    """

    def __init__(  # noqa: PLR0913 - what is decided at a call's begin, each by name
        self,
        arrival: Arrival,
        begin_ns: int,
        keeper: Keeper,
        *,
        trace_id: str,
        span_id: str,
        parent: TraceContext | None = None,
        sampled: bool = False,
        slow_ns: int | None = None,
        text_limit: int = 0,
    ) -> None:
        self.arrival = arrival
        self.trace_id, self.span_id, self.parent = trace_id, span_id, parent
        self.sampled = sampled
        self.slow_ns = slow_ns
        self.text_limit = text_limit
        self.num_stages, self.num_dropped = 1, 0
        self.how: CallEnd | None = None
        self.root = Stage(arrival.name, self, begin_ns, dict(arrival.attributes))
        self._keeper = keeper
        self._whole: Trail | None = None
        self._num_held = 0
        self._exemplar = {"trace_id": trace_id, "span_id": span_id}

    def part(self, arrival: Arrival, span_id: str, parent: TraceContext) -> Trail:
        """The trail of a call of its own that is a part of this one, and begins now. If it is kept, so is this one."""
        part = Trail(
            arrival,
            time.monotonic_ns(),
            self._keeper,
            trace_id=self.trace_id,
            span_id=span_id,
            parent=parent,
            sampled=self.sampled,
            slow_ns=self.slow_ns,
            text_limit=self.text_limit,
        )
        part._whole = self
        return part

    def has_room(self) -> bool:
        """Whether one more stage is kept; it is counted."""
        if self.num_stages >= MOST_STAGES:
            self.num_dropped += 1
            return False
        self.num_stages += 1
        return True

    def is_slow(self, at_ns: int) -> bool:
        """Whether the call has taken so long by then that it is kept for that."""
        return self.slow_ns is not None and at_ns - self.root.begin_ns >= self.slow_ns

    def exemplar(self, at_ns: int) -> Exemplar:
        """Labels that lead from a figure of ``at_ns`` to the trace; None where it is not certain that it is kept."""
        return self._exemplar if self.sampled or self.is_slow(at_ns) else None

    def hold(self) -> None:
        """Something was begun for the call that may end after it."""
        self._num_held += 1

    def release(self) -> None:
        """It has ended."""
        self._num_held -= 1
        self._look()

    def close(self, how: CallEnd) -> bool:
        """The call has ended. Returns whether it is kept."""
        self.root.end()
        self.sampled = self.sampled or self.is_slow(self.root.end_ns) or self._keeper.keeps(self, how)
        if self.sampled and self._whole is not None:
            self._whole.sampled = True
        self.how = how
        self._look()
        return self.sampled

    def forget(self) -> None:
        """Nobody wants the stages any more. Runs name the calls that shared them: without this a trail would hold on to
        all that ever overlapped, from call to call."""
        self.root.parts.clear()

    def _look(self) -> None:
        if self.how is None or self._num_held:
            return
        if self.sampled:
            self._keeper.take(self)
        else:
            self.forget()


class Tracer(Protocol):
    """What takes in how calls went. Belongs to the event loop's thread."""

    def begin(self, context: CallContext, arrival: Arrival) -> CallContext:
        """A call has come: its context, with a stage to note its way in. Its trail is to be closed."""
        ...

    @property
    def share(self) -> float:
        """Of calls whose callers decided nothing, the share that is kept by lot."""
        ...

    def keep(self, share: float) -> None:
        """Keep that share from now on."""
        ...
