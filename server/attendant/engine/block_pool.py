"""KV memory as pages: blocks of positions and a table of them for each sequence.

Full blocks are shared by all sequences that begin alike; the first part of another sequence's block is copied. What has
been computed can be found at once, and stays, least recently used first to go, until its memory is needed. Prefixes end
anywhere and hold generated tokens, too: prompts are cut by :class:`~attendant.engine.chunking.AnyCuts`.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence as SequenceOf

from attendant.core.plan import CopyBlock, Filler, Move, SetBlocks
from attendant.engine.block_table import BlockTable
from attendant.engine.blocks import Blocks
from attendant.engine.pool import MIN_PREFIX, PrefixStats
from attendant.engine.prefix_index import PrefixIndex, add_digests, root_of
from attendant.engine.sequence import Sequence


class BlockPool:
    """A :class:`~attendant.engine.pool.KVPool` of ``num_blocks`` blocks of ``block_size`` positions.

    Block 0 is never given out: runners point what is unused at it. A placed sequence's ``slot`` is its row of the block
    table, the lowest that is free.

    Args:
        num_slots: rows of the block table: sequences that can have a place at once.
        max_length: positions of one sequence at most; they fit the blocks.
        prefix_cache: keep and reuse what sequences computed.
        min_prefix: positions of a block that are worth a copy; a whole block always is.
    """

    def __init__(
        self,
        num_slots: int,
        num_blocks: int,
        block_size: int,
        max_length: int,
        *,
        prefix_cache: bool = True,
        min_prefix: int = MIN_PREFIX,
    ) -> None:
        assert max_length <= (num_blocks - 1) * block_size
        self._block_size = block_size
        self._num_blocks = num_blocks
        self._min_prefix = min(min_prefix, block_size)
        self._blocks = Blocks(num_blocks)
        self._index = PrefixIndex(block_size) if prefix_cache else None
        self._free_rows = list(range(num_slots))  # a heap
        self._reach = [0] * num_slots  # positions that a row has blocks for
        self._tables: dict[int, BlockTable] = {}  # by row
        self._filling: dict[int, int] = {}  # row -> blocks its first tokens fill, until all of them are known
        self._hashed: tuple[Sequence, list[bytes]] | None = None  # the sequence last asked about, and its digests
        self._moves: list[Move] = []
        self._queries = self._hits = 0

    @property
    def capacity_tokens(self) -> int:
        return (self._num_blocks - 1) * self._block_size

    @property
    def used_tokens(self) -> int:
        return self._blocks.num_held * self._block_size

    @property
    def prefix_stats(self) -> PrefixStats:
        return PrefixStats(self._queries, self._hits)

    @property
    def contiguous_rows(self) -> bool:
        return False

    @property
    def page_tokens(self) -> int:
        return self._block_size

    def acquire(self, sequence: Sequence, beside: int = 0) -> bool:
        if not self._free_rows:
            return False
        digests = self._digests(sequence)
        shared = self._known_chain(sequence, digests)
        num_fresh = self._blocks_for(sequence.num_tokens + 1) - len(shared)
        running = len(self._tables) - beside
        available = self._blocks.num_available - sum(not self._blocks.is_held(block) for block in shared)
        if num_fresh + running > available or not sequence.place(self._free_rows[0], 0):
            return False
        self._place(sequence, digests, shared, num_fresh)
        if sequence.num_cached is None:
            sequence.num_cached = sequence.num_computed
            self._queries += sequence.num_prompt
            self._hits += sequence.num_computed
        return True

    def extend(self, sequence: Sequence, num_tokens: int) -> bool:
        row = sequence.slot
        assert row is not None
        return num_tokens <= self._reach[row] or self._grow(self._tables[row], num_tokens)

    def release(self, sequence: Sequence) -> None:
        assert sequence.slot is not None
        table = self._tables.pop(sequence.slot)
        self._filling.pop(table.row, None)
        if (index := self._index_for(sequence)) is not None:
            table.leave(index, self._min_prefix)
        for block in reversed(table.blocks):  # the tail is the first to go
            self._blocks.drop(block, keep=self._index is not None and block in self._index)
        heapq.heappush(self._free_rows, table.row)
        sequence.unplace()

    def fork(self, parent: Sequence, child: Sequence, start: int) -> None:
        assert parent.slot is not None
        assert child.slot is not None
        other, table = self._tables[parent.slot], self._tables[child.slot]
        assert len(table.blocks) >= len(other.blocks), "beams have memory for the same length"
        num_full, rest = divmod(parent.num_computed, self._block_size)
        same = min(start // self._block_size, num_full)
        self._learn(other)
        self._learn(table)
        for i in range(same, num_full):
            old, new = table.blocks[i], other.blocks[i]
            self._blocks.share(new)
            self._blocks.drop(old, keep=self._index is not None and old in self._index)
            table.blocks[i] = new
        if rest:
            self._moves.append(CopyBlock(other.blocks[num_full], table.blocks[num_full]))
        table.take_over(other, num_full, self._index_for(child))
        self._filling.pop(child.slot, None)
        self._tell(table, same)
        self._moves += child.fork(parent)

    def arrange(self, decoding: SequenceOf[Sequence]) -> tuple[Filler, ...]:
        return ()

    def take_moves(self) -> tuple[Move, ...]:
        moves, self._moves = tuple(self._moves), []
        return moves

    def check(self) -> None:
        index = self._index or PrefixIndex(self._block_size)
        index.check()
        owners = Counter(block for table in self._tables.values() for block in table.blocks)
        self._blocks.check(owners, index.known())
        assert len(self._free_rows) + len(self._tables) == len(self._reach)
        for row, table in self._tables.items():
            assert row == table.row
            assert self._reach[row] == len(table.blocks) * self._block_size
            table.check(index)
            writing = table.blocks[table.sequence.num_computed // self._block_size :]
            assert all(owners[block] == 1 for block in writing)

    # -- places

    def _place(self, sequence: Sequence, digests: list[bytes], shared: list[int], num_fresh: int) -> None:
        """Give the sequence the ``shared`` blocks and fresh ones, the first with a copy of what else is known."""
        for block in shared:
            self._blocks.share(block)
            if self._index is not None:
                self._index.touch(block)
        origin, length = self._known_tail(sequence, digests, len(shared))
        fresh = [self._take() for _ in range(num_fresh)]
        # The origin may be given out here or to a later sequence: whatever is written to it comes after this copy.
        if length and origin != fresh[0]:
            self._moves.append(CopyBlock(origin, fresh[0]))
        row = heapq.heappop(self._free_rows)
        sequence.advance(len(shared) * self._block_size + length)
        table = BlockTable(row, sequence, shared + fresh, digests, len(shared), self._block_size)
        self._tables[row] = table
        self._tell(table, 0)
        self._learn(table)
        if len(shared) < len(digests):
            self._filling[row] = len(digests)

    def _grow(self, table: BlockTable, num_tokens: int) -> bool:
        """Blocks for ``num_tokens`` positions, which are more than there are."""
        self._learn(table)
        first = len(table.blocks)
        missing = self._blocks_for(num_tokens) - first
        if missing > self._blocks.num_available:
            return False
        table.blocks += [self._take() for _ in range(missing)]
        self._tell(table, first)
        self._learn(table)
        return True

    def _tell(self, table: BlockTable, first: int) -> None:
        """Have the runner know the blocks from ``first`` on."""
        blocks = tuple(table.blocks[first:])
        self._moves.append(SetBlocks(table.row, first, blocks))
        table.told[first:] = blocks
        self._reach[table.row] = len(table.blocks) * self._block_size

    def _take(self) -> int:
        block = self._blocks.take()
        if self._index is not None:
            self._index.forget(block)
        return block

    def _blocks_for(self, num_tokens: int) -> int:
        return -(-num_tokens // self._block_size)

    # -- prefix reuse

    def _digests(self, sequence: Sequence) -> list[bytes]:
        """Names of the chains that the sequence's full blocks make."""
        if self._index_for(sequence) is None:
            return []
        digests = self._hashed[1] if self._hashed and self._hashed[0] is sequence else []
        root = root_of(sequence.request.cache_salt)
        add_digests(digests, sequence.tokens[: sequence.num_tokens], self._block_size, root)
        self._hashed = sequence, digests
        return digests

    def _known_chain(self, sequence: Sequence, digests: list[bytes]) -> list[int]:
        """The longest chain of full blocks to share that leaves a token to compute."""
        if (index := self._index_for(sequence)) is None:
            return []
        for row, num_filled in tuple(self._filling.items()):
            table = self._tables[row]
            self._learn(table)
            if table.num_known >= num_filled:
                del self._filling[row]
        return index.chain(digests[: (sequence.num_tokens - 1) // self._block_size])

    def _known_tail(self, sequence: Sequence, digests: list[bytes], num_shared: int) -> tuple[int, int]:
        """The block to copy from what follows the chain, and how many positions of it are of use; 0 is none."""
        if (index := self._index_for(sequence)) is None:
            return 0, 0
        parent = digests[num_shared - 1] if num_shared else root_of(sequence.request.cache_salt)
        missing = sequence.tokens[num_shared * self._block_size : sequence.num_tokens - 1]
        origin, length = index.longest_child(parent, missing)
        if length < self._min_prefix:
            return 0, 0
        index.touch(origin)
        self._blocks.touch(origin)
        return origin, length

    def _learn(self, table: BlockTable) -> None:
        if (index := self._index_for(table.sequence)) is not None:
            table.learn(index)

    def _index_for(self, sequence: Sequence) -> PrefixIndex | None:
        """Where to find what others computed, and leave what the sequence does; None: it shares nothing."""
        return self._index if sequence.memories.shares_prefixes else None
