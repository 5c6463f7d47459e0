"""The processors of this machine, which models in one process take in turns: a run waits until it is its turn."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from attendant.runtime.turns import Contender, Ticket, Turns

_HANDOVER_S = 0.002
"""Patience of whoever gives a turn away, if the next thread cannot be woken at once."""


class _Gate:
    """Where a run waits for its turn."""

    def __init__(self) -> None:
        self._turn, self._passed = threading.Lock(), threading.Lock()
        self._turn.acquire()
        self._passed.acquire()

    def open(self) -> None:
        """It is its turn."""
        self._turn.release()

    def wait(self, timeout_s: float) -> bool:
        """Whether it is its turn now."""
        if not self._turn.acquire(timeout=timeout_s):
            return False
        self._passed.release()
        return True

    def see_off(self) -> None:
        """Let whoever waited go first. Else Python would let this thread go on until the switch interval is over, half
        a millisecond in which nobody runs."""
        self._passed.acquire(timeout=_HANDOVER_S)


class Processors:
    """``number`` processors. Any thread may take some for a run; see :class:`~attendant.runtime.turns.Turns` for who is
    next.

    A turn lasts for one run of ONNX Runtime, which always ends, and is given back whatever the run raises. So nobody
    waits for ever, and nobody who waits has to be told that it is no use.
    """

    def __init__(self, number: int) -> None:
        self._book = Turns(number)
        self._lock = threading.Lock()  # held for microseconds: the book
        self._gates: dict[Ticket, _Gate] = {}  # of those that wait

    @property
    def num_waiting(self) -> int:
        """Runs that wait for their turn. Any thread may ask."""
        return len(self._gates)

    def turns(self, *, loading: bool = False) -> ModelTurns:
        """The turns of a model. ``loading``: its runs give way to those of models that serve."""
        return ModelTurns(self, Contender(loading))

    @contextmanager
    def turn(self, contender: Contender, threads: int) -> Iterator[None]:
        """Wait for a turn with ``threads`` processors, or all there are, and have them meanwhile."""
        gate = None
        with self._lock:
            ticket = self._book.ask(contender, threads)
            self._let_begin()
            if ticket.since_ns is None:
                gate = self._gates[ticket] = _Gate()
        try:
            if gate is not None:
                self._wait(ticket, gate)
            yield
        finally:
            with self._lock:
                self._gates.pop(ticket, None)
                if ticket.since_ns is None:
                    self._book.leave(ticket)
                else:
                    self._book.end(ticket, time.monotonic_ns())
                opened = self._let_begin()
            for each in opened:
                each.see_off()

    def _wait(self, ticket: Ticket, gate: _Gate) -> None:
        """Until its turn. One of a model that is loaded looks when it might be quiet, too: nobody tells it of that."""
        while not gate.wait(self._patience_s(ticket)):
            with self._lock:
                self._let_begin()

    def _patience_s(self, ticket: Ticket) -> float:
        if not ticket.loading:
            return -1
        with self._lock:
            return self._book.earliest_in_ns(time.monotonic_ns()) / 1e9

    def _let_begin(self) -> list[_Gate]:
        """Have everybody begin whose turn it is; the gates of those that waited."""
        gates = [self._gates.pop(ticket, None) for ticket in self._book.begin(time.monotonic_ns())]
        opened = [gate for gate in gates if gate is not None]
        for gate in opened:
            gate.open()
        return opened


class ModelTurns:
    """What the sessions of one model take turns with."""

    def __init__(self, processors: Processors, contender: Contender) -> None:
        self._processors = processors
        self._contender = contender

    def turn(self, threads: int) -> AbstractContextManager[None]:
        """See :meth:`Processors.turn`."""
        return self._processors.turn(self._contender, threads)

    def serves(self) -> None:
        """From now on its runs are as good as those of others."""
        self._contender.loading = False
