"""Who holds which block: reference counts, the free ones, and the ones kept for what they contain."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Set


class Blocks:
    """Blocks 1..num_blocks-1. Each is free, held by one or more owners, or kept: without an owner, for its content.

    Block 0 is never given out.
    """

    def __init__(self, num_blocks: int) -> None:
        self._references = [0] * num_blocks
        self._free = list(range(num_blocks - 1, 0, -1))
        self._kept: OrderedDict[int, None] = OrderedDict()  # least recently used first

    @property
    def num_available(self) -> int:
        """Blocks without an owner."""
        return len(self._free) + len(self._kept)

    @property
    def num_held(self) -> int:
        """Blocks with an owner; shared ones count once."""
        return len(self._references) - 1 - self.num_available

    def is_held(self, block: int) -> bool:
        """Whether the block has an owner."""
        return self._references[block] > 0

    def take(self) -> int:
        """Give a block out to one owner: a free one, else the least recently used of the kept ones."""
        block = self._free.pop() if self._free else self._kept.popitem(last=False)[0]
        self._references[block] = 1
        return block

    def share(self, block: int) -> None:
        """Add an owner to a block that is held or kept."""
        if self._references[block] == 0:
            del self._kept[block]
        self._references[block] += 1

    def touch(self, block: int) -> None:
        """A block that is kept has been used."""
        if block in self._kept:
            self._kept.move_to_end(block)

    def drop(self, block: int, *, keep: bool) -> None:
        """Take an owner away; without any the block is kept or free."""
        self._references[block] -= 1
        if self._references[block] == 0:
            if keep:
                self._kept[block] = None
            else:
                self._free.append(block)

    def check(self, owners: Counter[int], known: Set[int]) -> None:
        """Assert the invariants, given how many owners blocks have and whose content can be found."""
        free, kept, held = set(self._free), self._kept.keys(), owners.keys()
        assert len(self._free) == len(free)
        assert len(free) + len(kept) + len(held) == len(self._references) - 1
        assert free.isdisjoint(kept)
        assert free.isdisjoint(held)
        assert all(block not in kept for block in held)
        assert 0 not in free
        assert all(self._references[block] == count for block, count in owners.items())
        assert sum(self._references) == owners.total()
        assert all(map(known.__contains__, kept))
        assert len(known) == len(kept) + sum(block in known for block in held)
