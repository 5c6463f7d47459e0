"""The door of a model: how many are inside, who is refused, who waits, and how everybody leaves before a shutdown."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol

from attendant.core.errors import AttendantError, Draining, QueueFull

logger = logging.getLogger(__name__)

LAST_WORDS_S = 10.0
"""Seconds that those have to leave whom a drain has ended."""

MIN_RETRY_S, MAX_RETRY_S = 0.05, 30.0
"""Between these lies what a refused caller hears."""


def sane_retry_s(seconds: float) -> float:
    """What somebody hears who is refused, where ``seconds`` is when there should be room."""
    return min(max(seconds, MIN_RETRY_S), MAX_RETRY_S)


class Visitor(Protocol):
    """A part of something that is inside already. It waits for places of its own, where a newcomer is refused."""

    @property
    def num_places(self) -> int:
        """The number of places that it needs, all at once."""

    def enter(self) -> None:
        """Called when there are places: they are taken for it."""

    def fail(self, error: AttendantError) -> None:
        """Called when there never will be places."""


class Gate:
    """Counts places, refuses at the door, drains and tells. Create it inside the running event loop, which owns it.

    Args:
        name: of the model, for errors and the log.
        max_places: how many there are; None: as many as anybody wants.
        what: stands inside: "requests".
        retry_after_s: takes by how many places somebody is refused; about when they are free, in seconds.
        end_overdue: takes the error that ends whoever is inside when the time of a drain is over. Those inside with
            :meth:`call` need no help.
    """

    def __init__(
        self,
        name: str,
        max_places: int | None = None,
        *,
        what: str = "requests",
        retry_after_s: Callable[[int], float] = lambda excess: 1.0,
        end_overdue: Callable[[Draining], None] = lambda error: None,
    ) -> None:
        self._name = name
        self._max_places = max_places
        self._what = what
        self._retry_after_s = retry_after_s
        self._end_overdue = end_overdue
        self._taken = 0
        self._num_leaving = 0
        self._num_coming = 0
        self._waiting: deque[Visitor] = deque()
        self._calls: set[asyncio.Timeout] = set()  # one for each, which never comes unless a drain's time is over
        self._refuses = False
        self._who = "the server"
        self._overdue: Draining | None = None
        self._shut: AttendantError | None = None
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def taken(self) -> int:
        """Places that are taken."""
        return self._taken

    @property
    def max_places(self) -> int | None:
        """How many there are; None: as many as anybody wants."""
        return self._max_places

    @property
    def wanted(self) -> int:
        """Places that visitors wait for."""
        return sum(visitor.num_places for visitor in self._waiting)

    def check_open(self, *, inner: bool = False) -> None:
        """Find out whether the door is open, whatever room there is.

        Args:
            inner: for a part of something that was let in before a drain.

        Raises:
            Draining: nobody new is let in. What :meth:`shut` was given: nobody is.
        """
        if self._shut is not None:
            raise copy.copy(self._shut)
        if self._refuses and not inner:
            raise Draining(f"{self._who} is shutting down and takes no new requests")
        if self._overdue is not None:
            raise copy.copy(self._overdue)

    def check_room(self, count: int) -> None:
        """Find out whether a newcomer can have ``count`` places now, after those who wait. Raises QueueFull."""
        if self._max_places is not None and not self.has_room(count):
            excess = self._taken - self._num_leaving + self.wanted + count - self._max_places
            raise QueueFull(self._name, self._max_places, self.retry_after_s(excess), self._what)

    def has_room(self, count: int) -> bool:
        """Whether a newcomer can have ``count`` places, after those who wait. Who has been told to leave counts as
        gone."""
        most = self._max_places
        return most is None or self._taken - self._num_leaving + self.wanted + count <= most

    def retry_after_s(self, excess: int) -> float:
        """About when so many places are free, in seconds, as a caller hears it."""
        return sane_retry_s(self._retry_after_s(excess))

    def leaves(self) -> None:
        """One who is inside has been told to leave for others, who may have its place already."""
        self._num_leaving += 1

    def take(self, count: int = 1, *, inner: bool = False) -> None:
        """Take places, or be refused; see :meth:`check_open` and :meth:`check_room`."""
        self.check_open(inner=inner)
        self.check_room(count)
        self._take(count)

    @contextmanager
    def coming(self, *, inner: bool = False) -> Iterator[None]:
        """Around what is done for somebody before it takes its places. Who has come this far is let in, with ``inner``,
        and a drain that begins meanwhile waits for it. Raises what :meth:`check_open` raises."""
        self.check_open(inner=inner)
        self._take(0)
        self._num_coming += 1
        try:
            yield
        finally:
            self._num_coming -= 1
            self._leave()

    def give_back(self, count: int = 1, *, left: bool = False) -> None:
        """Give places back; whoever has waited longest gets them. ``left``: one that :meth:`leaves` was called for."""
        assert 0 <= count <= self._taken
        self._num_leaving -= left
        self._taken -= count
        self._leave()
        self._let_in()

    def let_in_when_room(self, visitor: Visitor) -> None:
        """Let ``visitor`` enter once there are places for it and for those who came before it: at once, perhaps."""
        self._waiting.append(visitor)
        self._let_in()

    def let_in_beyond(self, visitor: Visitor) -> None:
        """Let ``visitor`` enter at once, before those who wait and whether there are places or not."""
        self._take(visitor.num_places)
        visitor.enter()

    def give_up(self, visitor: Visitor) -> bool:
        """Forget a visitor. False: it does not wait, or does not any more."""
        if visitor not in self._waiting:
            return False
        self._waiting.remove(visitor)
        self._let_in()
        return True

    @asynccontextmanager
    async def call(self, *, inner: bool = False) -> AsyncIterator[None]:
        """Around a call that consists of more than what runs: it has one place, and is interrupted where it stands if
        it outlives a drain. Raises Draining for that, and what :meth:`take` raises."""
        self.take(inner=inner)
        try:
            async with asyncio.timeout(None) as limit:
                self._calls.add(limit)
                try:
                    yield
                finally:
                    self._calls.remove(limit)
                    self.give_back()
        except TimeoutError:
            if not limit.expired() or self._overdue is None:
                raise
            raise copy.copy(self._overdue) from None

    def refuse(self, who: str = "the server") -> None:
        """Let nobody new in from now on. ``who``: shuts down, for the errors."""
        if not self._refuses:
            self._refuses, self._who = True, who

    async def drain(self, timeout_s: float) -> bool:
        """Let nobody new in, and wait until everybody has left; who has not after ``timeout_s`` seconds is ended.

        Returns:
            Whether everybody has left; if not, those that were ended are stuck.
        """
        self.refuse()
        if await self._is_empty_within(timeout_s):
            return True
        logger.warning("%s: %d %s outlived the drain limit of %g s", self._name, self._taken, self._what, timeout_s)
        said = f"{self._who} shut down and the request did not finish within {timeout_s:g} s"
        self._overdue = self._overdue or Draining(said)
        now = asyncio.get_running_loop().time()
        for limit in self._calls:
            if not limit.expired():  # by a drain before this one
                limit.reschedule(now)
        self._end_overdue(self._overdue)
        return await self._is_empty_within(LAST_WORDS_S)

    def shut(self, error: AttendantError) -> None:
        """Let nobody in any more, not even visitors: everybody hears ``error``."""
        self._shut = error
        while self._waiting:
            self._waiting.popleft().fail(error)

    async def _is_empty_within(self, timeout_s: float) -> bool:
        try:
            await asyncio.wait_for(self._empty.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    def _take(self, count: int) -> None:
        self._taken += count
        self._empty.clear()

    def _leave(self) -> None:
        if not self._taken and not self._num_coming:
            self._empty.set()

    def _let_in(self) -> None:
        while self._waiting and self._fits(self._waiting[0].num_places):
            visitor = self._waiting.popleft()
            self._take(visitor.num_places)
            visitor.enter()

    def _fits(self, count: int) -> bool:
        return self._max_places is None or self._taken + count <= self._max_places


async def drain_all(gates: Iterable[Gate], timeout_s: float) -> None:
    """Drain several gates together: all of them refuse before the first one waits."""
    drained = tuple(gates)
    for gate in drained:
        gate.refuse()
    await asyncio.gather(*(gate.drain(timeout_s) for gate in drained))
