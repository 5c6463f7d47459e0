"""Which of a model's engines a sequence goes to: the one that has most of its prompt, unless that one is too busy."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

PIECE_TOKENS = 64
"""Prompts are remembered in pieces of so many tokens."""

MAX_PIECES = 65_536
"""Pieces remembered of each engine: several times what its KV memory usually holds."""

MIN_SLACK = 4
"""An engine that has the prompt may always have so many sequences more than the least busy one."""

SLACK_SHARE = 4
"""Beyond that it may have one more for each so many sequences of the least busy one."""


class Router:
    """Places the sequences of one model on its engines. Knows only what it was told: no engine is asked.

    Args:
        num_engines: at least one.
        max_running: sequences that each engine runs together; more of them wait.
        max_pieces: of prompts, remembered of each engine.
    """

    def __init__(self, num_engines: int, max_running: int, max_pieces: int = MAX_PIECES) -> None:
        assert num_engines >= 1
        self._max_running = max_running
        self._loads = [0] * num_engines
        self._known = [_Pieces(max_pieces) for _ in range(num_engines)]
        self._next = 0

    @property
    def loads(self) -> tuple[int, ...]:
        """Live sequences of each engine."""
        return tuple(self._loads)

    def place(self, prompt: tuple[int, ...], salt: bytes = b"") -> int:
        """The engine for a sequence with this prompt and cache salt, which counts as its load until :meth:`ended`."""
        engine = 0
        if len(self._loads) > 1:
            chain = _chain(prompt, salt)
            engine = self._choose(chain)
            self._known[engine].add(chain)
            self._next = (engine + 1) % len(self._loads)
        self._loads[engine] += 1
        return engine

    def likely(self, prompt: tuple[int, ...], salt: bytes = b"") -> int:
        """The engine that :meth:`place` would say now."""
        return 0 if len(self._loads) == 1 else self._choose(_chain(prompt, salt))

    def ended(self, engine: int) -> None:
        """A sequence that was placed on ``engine`` has ended."""
        assert self._loads[engine] > 0
        self._loads[engine] -= 1

    def _choose(self, chain: Sequence[int]) -> int:
        limit = self._limit()
        num = len(self._loads)
        # most of the prompt, least load, and in turns: an idle model uses all of its engines
        _, _, _, engine = min(
            (-self._known[engine].num_leading(chain), load, (engine - self._next) % num, engine)
            for engine, load in enumerate(self._loads)
            if load <= limit
        )
        return engine

    def _limit(self) -> int:
        """The highest load that an engine which has the prompt may have."""
        least = min(self._loads)
        limit = least + max(MIN_SLACK, least // SLACK_SHARE)
        if least < self._max_running:  # nobody waits while another engine could run the sequence at once
            limit = min(limit, self._max_running - 1)
        return limit


class _Pieces:
    """Leading pieces of the prompts sent to one engine, by their chains; those longest not seen are forgotten first.

    Of a chain the last piece is forgotten first: without the pieces before it, it would never be found.
    """

    def __init__(self, max_pieces: int) -> None:
        self._max_pieces = max_pieces
        self._pieces: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._pieces)

    def num_leading(self, chain: Sequence[int]) -> int:
        """How many leading pieces of ``chain`` are known."""
        return next((number for number, piece in enumerate(chain) if piece not in self._pieces), len(chain))

    def add(self, chain: Sequence[int]) -> None:
        """Remember a chain as the latest."""
        for piece in reversed(chain):
            self._pieces[piece] = None
            self._pieces.move_to_end(piece)
        while len(self._pieces) > self._max_pieces:
            self._pieces.popitem(last=False)


def _chain(prompt: tuple[int, ...], salt: bytes = b"") -> list[int]:
    """A hash for each full piece of ``prompt``, of the salt, the piece and all before it.

    Python's own hash will do: two chains that collide cost a worse place and nothing else.
    """
    chain: list[int] = []
    parent = hash(salt)
    for first in range(0, len(prompt) - PIECE_TOKENS + 1, PIECE_TOKENS):
        parent = hash((parent, prompt[first : first + PIECE_TOKENS]))
        chain.append(parent)
    return chain
