"""Whom something is done for: what is known of a call beside what it asks, wherever it is on its way."""

from __future__ import annotations

import random
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace

from attendant.core.stages import NOWHERE, Arrival, CallEnd, Stage
from attendant.core.tally import Tally

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The trace that a call is a part of, as W3C's Trace Context says it.

    Attributes:
        trace_id: 32 hexadecimal digits.
        parent_id: 16 of them; the span that the call is a part of: the caller's, or where the server follows traces
            its own.
        sampled: the caller may have recorded the trace.
        state: what systems along the way say of it (``tracestate``), as it came.
    """

    trace_id: str
    parent_id: str
    sampled: bool = False
    state: str = ""

    @classmethod
    def parse(cls, traceparent: str) -> TraceContext | None:
        """What the header says; None if it is not one, as the call is then no part of a trace."""
        found = _TRACEPARENT.fullmatch(traceparent)
        if found is None:
            return None
        version, trace_id, parent_id, flags, more = found.groups()
        if version == "ff" or (version == "00" and more) or not (int(trace_id, 16) and int(parent_id, 16)):
            return None
        return cls(trace_id, parent_id, bool(int(flags, 16) & 1))

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.parent_id}-{self.sampled:02x}"


class Abort:
    """A way to end a call that generates from outside, in order: what it has by then is its answer, which ends as
    CANCELLED. It belongs to the event loop of the call."""

    def __init__(self) -> None:
        self._asked = False
        self._ends: list[Callable[[], None]] = []

    def ask(self) -> None:
        """End the call, or keep it from beginning."""
        self._asked = True
        while self._ends:
            self._ends.pop()()

    def when_asked(self, end: Callable[[], None]) -> None:
        """``end``: ends the work; called at once if somebody has asked before."""
        if self._asked:
            end()
        else:
            self._ends.append(end)


@dataclass(frozen=True, slots=True)
class CallContext:
    """What goes with a call through every room. Whatever takes calls in from outside makes one, once.

    Attributes:
        request_id: as the caller knows the call: its own, which need not be unique, or a fresh one. It stands in the
            log, in errors and in the answer's metadata; what engines and batches call their parts begins with it.
        arrival_ns: when the call came, monotonic.
        deadline_ns: when its answer is of no use any more, monotonic, or None.
        priority: -100 to 100: the higher, the sooner; 0 unless somebody says otherwise.
        client: where the call came from, in the words of what took it in; empty if nobody knows.
        subject: who makes it, as its token or certificate says; empty if it has none.
        tenant: whom its work is charged to, among those that share a model fairly: its subject, or what it says itself
            by ``x-llm-d-inference-fairness-id``, or the host that it came from.
        first_token_by_ns: when its first token, or a result that comes as a whole, is of no use any more, monotonic,
            or None.
        cache_salt: who may see by the speed of an answer that a prompt was there before: calls of the same salt.
        trace: that it is a part of, or None.
        baggage: what its caller sends along for everybody (W3C Baggage), as it came.
        stage: where it is noted what is done with this context.
        metadata: what else came along, by lower-case names: of several of a name the last, and no binary ones. It may
            hold secrets, and goes nowhere.
        chosen: what was decided for this call of its own, by the name of the route that had a choice: what follows in
            the call keeps to it.
        abort: by which somebody else may end it; None: nobody does.
        tally: what is counted of the request, for its line of the log; None: it has none.
    """

    request_id: str
    arrival_ns: int
    deadline_ns: int | None = None
    priority: int = 0
    client: str = ""
    subject: str = ""
    tenant: str = ""
    first_token_by_ns: int | None = None
    cache_salt: bytes = b""
    trace: TraceContext | None = None
    baggage: str = ""
    stage: Stage = field(default=NOWHERE, compare=False, repr=False)
    metadata: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    chosen: dict[str, str] = field(default_factory=dict, compare=False, repr=False)
    abort: Abort | None = field(default=None, compare=False, repr=False)
    tally: Tally | None = field(default=None, compare=False, repr=False)

    @classmethod
    def new(
        cls,
        request_id: str = "",
        timeout_s: float | None = None,
        *,
        client: str = "",
        trace: TraceContext | None = None,
        baggage: str = "",
        cache_salt: bytes = b"",
        metadata: Mapping[str, str] | None = None,
    ) -> CallContext:
        """The context of a call that comes now. ``request_id``: empty for a fresh one. ``timeout_s``: how long the
        caller waits, or None."""
        now_ns = time.monotonic_ns()
        deadline_ns = None if timeout_s is None else now_ns + int(timeout_s * 1e9)
        return cls(
            request_id or uuid.uuid4().hex,
            now_ns,
            deadline_ns,
            client=client,
            cache_salt=cache_salt,
            trace=trace,
            baggage=baggage,
            metadata=metadata or {},
        )

    def made_by(self, subject: str) -> CallContext:
        """The same of a caller who has said who it is, and whom the work is charged to then; empty: it has not."""
        return replace(self, subject=subject, tenant=subject) if subject else self

    def renewed(self) -> CallContext:
        """The context of a part of the call that begins now: with the same id and deadline."""
        return replace(self, arrival_ns=time.monotonic_ns())

    def part(self, call_id: str) -> CallContext:
        """The context of a call of its own that came as a part of this one, now, under this id. It is to be ended."""
        whole, parent = self.stage.trail, self.trace
        if whole is None or parent is None:
            part = replace(self.renewed(), chosen={})
        else:
            arrival = Arrival("part", "call", {"call_id": call_id})
            trail = whole.part(arrival, f"{random.getrandbits(64) or 1:016x}", parent)
            trace = replace(parent, parent_id=trail.span_id)
            part = replace(self, arrival_ns=trail.root.begin_ns, trace=trace, stage=trail.root, chosen={})
        return part if self.tally is None else replace(part, tally=self.tally.begin_part(part, call_id))

    def end(self, how: CallEnd, error: type[BaseException] | None = None) -> bool:
        """The call has ended, as its trace and its line of the log will say; ``error``: with what, if it was one.

        Returns:
            Whether its trace is kept.
        """
        if self.tally is not None:
            if error is not None:
                self.tally.fails(error)
            self.tally.close(self, how)
        trail = self.stage.trail
        return trail is not None and trail.close(how)

    def within(self, stage: Stage) -> CallContext:
        """The context of what is done in ``stage``."""
        return self if stage is self.stage else replace(self, stage=stage)

    @property
    def result_by_ns(self) -> int | None:
        """When a result that comes as a whole is of no use any more, monotonic, or None."""
        return min((ns for ns in (self.deadline_ns, self.first_token_by_ns) if ns is not None), default=None)

    def time_left_s(self) -> float | None:
        """Seconds until the deadline, below 0 after it; None without one."""
        return None if self.deadline_ns is None else (self.deadline_ns - time.monotonic_ns()) / 1e9


_CURRENT: ContextVar[CallContext | None] = ContextVar("attendant_call", default=None)


def current_call() -> CallContext | None:
    """The call that this task or thread works for, if it is one's."""
    return _CURRENT.get()


@contextmanager
def working_for(context: CallContext) -> Iterator[None]:
    """Around all that is done for a call, in one task: log lines inside, those of its own tasks and of threads that are
    handed their context included, bear its request id."""
    token = _CURRENT.set(context)
    try:
        yield
    finally:
        _CURRENT.reset(token)
