"""What blocks contain: found again by the chain of tokens that leads to them."""

from __future__ import annotations

import hashlib
from collections.abc import Set
from dataclasses import dataclass

from attendant.core.plan import Tokens
from attendant.engine.pool import common_prefix
from attendant.engine.sequence import Sequence

ROOT = b""
"""Digest of the empty chain, of requests without a salt."""

MAX_CANDIDATES = 8
"""Blocks compared token by token, of those that follow the same chain; the most recently used ones."""


def root_of(salt: bytes) -> bytes:
    """Digest of the empty chain of requests with this salt: chains that begin with different ones never meet."""
    return hashlib.blake2b(salt, digest_size=16, person=b"salt").digest() if salt else ROOT


def add_digests(digests: list[bytes], tokens: Tokens, block_size: int, root: bytes = ROOT) -> None:
    """Complete ``digests``, of which some may be there, to one for each full block of ``tokens`` [n] after ``root``.

    A digest names the chain of blocks up to its own: the hash of the digest before it and the tokens of the block.
    """
    for first in range(len(digests) * block_size, len(tokens) - block_size + 1, block_size):
        parent = digests[-1] if digests else root
        block = tokens[first : first + block_size].tobytes()
        digests.append(hashlib.blake2b(parent + block, digest_size=16).digest())


@dataclass(slots=True)
class _Content:
    """What a block has, from position ``first`` of its chain on. While it has a writer, that is what the writer has
    computed of it; ``digest`` is None until the block is full."""

    parent: bytes
    tokens: Tokens
    writer: Sequence | None = None
    first: int = 0
    digest: bytes | None = None

    def computed(self, block_size: int) -> Tokens:
        if self.writer is None:
            return self.tokens
        return self.writer.tokens[self.first : min(self.writer.num_computed, self.first + block_size)]


class PrefixIndex:
    """Blocks by content. Full ones have a name; every one of them, full or not, is a child of the chain before it."""

    def __init__(self, block_size: int) -> None:
        self._block_size = block_size
        self._contents: dict[int, _Content] = {}
        self._full: dict[bytes, int] = {}
        self._children: dict[bytes, dict[int, None]] = {}  # by the parent's digest; most recently used last

    def __contains__(self, block: int) -> bool:
        return block in self._contents

    def chain(self, digests: list[bytes]) -> list[int]:
        """The blocks of the longest leading part of ``digests`` that is known."""
        blocks: list[int] = []
        for digest in digests:
            block = self._full.get(digest)
            if block is None:
                break
            blocks.append(block)
        return blocks

    def longest_child(self, parent: bytes, tokens: Tokens) -> tuple[int, int]:
        """The block after the chain ``parent`` that begins like ``tokens``, and for how many; (0, 0) if none does."""
        best, length = 0, 0
        for _, block in zip(range(MAX_CANDIDATES), reversed(self._children.get(parent, {})), strict=False):
            common = common_prefix(self._contents[block].computed(self._block_size), tokens)
            if common > length:
                best, length = block, common
        return best, length

    def touch(self, block: int) -> None:
        """The block has been used."""
        siblings = self._children[self._contents[block].parent]
        del siblings[block]
        siblings[block] = None

    def open(self, block: int, parent: bytes, writer: Sequence, first: int) -> None:
        """The block follows the chain ``parent`` and ``writer`` is writing it, from its position ``first`` on."""
        assert block not in self._contents
        self._contents[block] = _Content(parent, writer.tokens[:0], writer, first)
        self._children.setdefault(parent, {})[block] = None

    def close(self, block: int, tokens: Tokens, digest: bytes | None = None) -> None:
        """Nobody writes to the open block any more; ``digest`` is its name if ``tokens`` fill it.

        It is forgotten if another block has the same name.
        """
        if digest is not None and digest in self._full:
            self.forget(block)
            return
        self.touch(block)
        content = self._contents[block]
        content.tokens, content.writer, content.digest = tokens.copy(), None, digest
        if digest is not None:
            self._full[digest] = block

    def forget(self, block: int) -> None:
        """The block gets another content; one that is not known is left alone."""
        content = self._contents.pop(block, None)
        if content is None:
            return
        siblings = self._children[content.parent]
        del siblings[block]
        if not siblings:
            del self._children[content.parent]
        if content.digest is not None:
            del self._full[content.digest]

    def known(self) -> Set[int]:
        """Every block that can be found."""
        return self._contents.keys()

    def check(self) -> None:
        """Assert the invariants."""
        num_full = 0
        for block, content in self._contents.items():
            assert block in self._children[content.parent]
            if content.digest is not None:
                assert self._full[content.digest] == block
                num_full += 1
        assert len(self._full) == num_full
        assert sum(map(len, self._children.values())) == len(self._contents)

    def check_block(self, block: int, sequence: Sequence, first: int) -> None:
        """Assert that what is known of a block is what ``sequence``, an owner, has at position ``first``."""
        if content := self._contents.get(block):
            tokens = content.computed(self._block_size)
            assert first + len(tokens) <= sequence.num_computed
            assert common_prefix(tokens, sequence.tokens[first:]) == len(tokens)
