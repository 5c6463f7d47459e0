"""Who holds which memory: what each model asked for and was granted of the machine's, and of each GPU's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from attendant.core.errors import MemoryTaken


@dataclass(frozen=True, slots=True)
class Memory:
    """One memory that models share.

    Attributes:
        name: as errors name it: "the CPU", "GPU 0".
        total: bytes of it. pool: bytes that models may take together unless one has a budget of its own.
    """

    name: str
    total: int
    pool: int


@dataclass(frozen=True, slots=True)
class Holding:
    """What one model has of one memory: bytes ``asked`` for (None: its share) and ``granted``."""

    asked: int | None
    granted: int


@dataclass(frozen=True, slots=True)
class Share:
    """What a model may take of ``memory``: ``num_bytes``, beside what ``others`` hold, in bytes by name; nobody's while
    memory is shared out evenly at the start."""

    holder: str
    memory: Memory
    num_bytes: int
    others: tuple[tuple[str, int], ...] = ()

    def check(self, needed: int) -> None:
        """Make sure that ``needed`` bytes fit, if others hold what is missing.

        Raises:
            MemoryTaken: saying who holds what.
        """
        if self.others and needed > self.num_bytes:
            raise MemoryTaken(self.holder, self.memory.name, needed, self.num_bytes, self.others)


class MemoryLedger:
    """The holdings of all models. One model is loaded or unloaded at a time.

    Those that a server starts with share each memory evenly, whatever they take of it in the end, so that the first one
    gets no more than the last. One that is loaded later gets what the others have left. Two versions of a model are two
    holders.
    """

    def __init__(self) -> None:
        self._expected: dict[str, int] = {}  # how many share evenly, by the name of each that is still to be loaded
        self._holdings: dict[str, dict[str, Holding]] = {}  # by memory and model

    def expect(self, holders: Iterable[str], among: int | None = None) -> None:
        """These models are loaded next, and share evenly. ``among``: into how many shares; None: as many as models."""
        names = tuple(holders)
        self._expected = dict.fromkeys(names, max(len(names) if among is None else among, 1))

    def account(self, holder: str) -> Account:
        """What a model that is loaded asks and tells."""
        return Account(self, holder)

    def share(self, memory: Memory, holder: str, asked: int | None = None) -> Share:
        """What a model may take.

        Args:
            asked: bytes of a budget of its own, which may be more than the pool.

        Raises:
            MemoryTaken: others hold so much that this is not left, or nothing.
        """
        if (number := self._expected.get(holder)) is not None:
            return Share(holder, memory, memory.pool // number if asked is None else asked)
        others = tuple((name, held.granted) for name, held in self.holdings(memory.name).items() if name != holder)
        left = max((memory.pool if asked is None else memory.total) - sum(granted for _, granted in others), 0)
        share = Share(holder, memory, left, others)
        share.check(1 if asked is None else asked)
        return share if asked is None else Share(holder, memory, asked, others)

    def grant(self, memory: Memory, holder: str, granted: int, asked: int | None = None) -> None:
        """A model has taken ``granted`` bytes, besides what it was granted before."""
        holdings = self._holdings.setdefault(memory.name, {})
        before = holdings[holder].granted if holder in holdings else 0
        holdings[holder] = Holding(asked, before + granted)

    def take_over(self, holder: str, holdings: Mapping[str, Holding]) -> None:
        """A model has what a process of its own granted it, by memory."""
        for memory, holding in holdings.items():
            self._holdings.setdefault(memory, {})[holder] = holding

    def settle(self, holder: str) -> None:
        """A model is loaded: from now on it has what it was granted, and no share besides."""
        self._expected.pop(holder, None)

    def release(self, holder: str) -> None:
        """A model holds nothing any more, or was not loaded."""
        self.settle(holder)
        for holdings in self._holdings.values():
            holdings.pop(holder, None)

    def holdings(self, memory: str) -> dict[str, Holding]:
        """What each model holds of a memory, by name."""
        return dict(self._holdings.get(memory, {}))

    def holdings_of(self, holder: str) -> dict[str, Holding]:
        """What a model holds, by memory."""
        return {memory: held[holder] for memory, held in self._holdings.items() if holder in held}


@dataclass(frozen=True, slots=True)
class Account:
    """The ledger as one model sees it while it is loaded, under the name ``holder``."""

    ledger: MemoryLedger
    holder: str

    @classmethod
    def alone(cls, holder: str) -> Account:
        """Of a model beside which there is none."""
        return cls(MemoryLedger(), holder)

    def share(self, memory: Memory, asked: int | None = None) -> Share:
        """See :meth:`MemoryLedger.share`."""
        return self.ledger.share(memory, self.holder, asked)

    def grant(self, memory: Memory, granted: int, asked: int | None = None) -> None:
        """See :meth:`MemoryLedger.grant`."""
        self.ledger.grant(memory, self.holder, granted, asked)

    def take_over(self, holdings: Mapping[str, Holding]) -> None:
        """See :meth:`MemoryLedger.take_over`."""
        self.ledger.take_over(self.holder, holdings)

    def holdings(self) -> dict[str, Holding]:
        """What the model holds, by memory."""
        return self.ledger.holdings_of(self.holder)
