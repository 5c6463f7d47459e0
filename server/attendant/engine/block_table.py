"""The blocks of one placed sequence, and how much of them others can find."""

from __future__ import annotations

from attendant.engine.prefix_index import PrefixIndex, add_digests, root_of
from attendant.engine.sequence import Sequence


class BlockTable:
    """Blocks in order of position. All that are shared are full; the sequence writes to those behind ``num_known``.

    Attributes:
        row: of the block table of the runner.
        blocks: those of the sequence, at least one.
        told: what the runner knows of the row.
        digests: names of the chains that the leading full blocks make, computed or not.
        root: what the chain begins with.
        num_known: leading blocks that are full and computed, and have been entered in the index.
    """

    __slots__ = ("_block_size", "blocks", "digests", "num_known", "root", "row", "sequence", "told")

    def __init__(
        self, row: int, sequence: Sequence, blocks: list[int], digests: list[bytes], num_shared: int, block_size: int
    ) -> None:
        self.row = row
        self.sequence = sequence
        self.blocks = blocks
        self.told: list[int] = []
        self.digests = digests
        self.root = root_of(sequence.request.cache_salt)
        self.num_known = num_shared
        self._block_size = block_size

    def learn(self, index: PrefixIndex) -> None:
        """Enter the blocks that are full and computed by now, and the one behind them, which is being written."""
        sequence, size = self.sequence, self._block_size
        num_full = sequence.num_computed // size
        if num_full > len(self.digests):
            add_digests(self.digests, sequence.tokens[: num_full * size], size, self.root)
        self._open(index)
        while self.num_known < num_full:
            i = self.num_known
            index.close(self.blocks[i], sequence.tokens[i * size : (i + 1) * size], self.digests[i])
            self.num_known += 1
            self._open(index)

    def leave(self, index: PrefixIndex, min_prefix: int) -> None:
        """The sequence goes: what it computed stays known, of the last block if it is ``min_prefix`` positions."""
        self.learn(index)
        if self.num_known < len(self.blocks):
            block = self.blocks[self.num_known]
            tokens = self.sequence.tokens[self.num_known * self._block_size : self.sequence.num_computed]
            if len(tokens) < min_prefix:
                index.forget(block)
            else:
                index.close(block, tokens)

    def take_over(self, other: BlockTable, num_full: int, index: PrefixIndex | None) -> None:
        """From now on the sequence's content is that of the other's, whose ``num_full`` full blocks it shares."""
        self.digests[:] = other.digests[:num_full]
        self.num_known = num_full if index is not None else self.num_known
        if index is not None:
            for block in self.blocks[num_full:]:
                if block in index:
                    index.forget(block)

    def check(self, index: PrefixIndex) -> None:
        """Assert the invariants."""
        assert self.sequence.slot == self.row
        assert self.told == self.blocks
        assert self.sequence.num_computed <= len(self.blocks) * self._block_size
        for i, block in enumerate(self.blocks):
            index.check_block(block, self.sequence, i * self._block_size)

    def _open(self, index: PrefixIndex) -> None:
        if self.num_known < len(self.blocks) and (block := self.blocks[self.num_known]) not in index:
            parent = self.digests[self.num_known - 1] if self.num_known else self.root
            index.open(block, parent, self.sequence, self.num_known * self._block_size)
