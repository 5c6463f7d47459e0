"""What a paged decoder graph is compared on: prompts whole and in chunks, mixed runs, blocks that sequences share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from attendant.bundle import KVLayer

from attendant_export.paged.session import Floats, PagedRow, PagedSession, save_reference
from attendant_export.parity import Case
from attendant_export.prompts import Ints

_BLOCK_SIZE = 4
_CHUNKS = (7, 1, 5)
_DECODE_STEPS = 8


def run_paged(path: Path, layers: Sequence[KVLayer], prompts: list[Ints], wanted: list[Floats]) -> list[Case]:
    """Runs the graph at ``path`` through its reference function.

    Args:
        prompts: each [length] int64. wanted: their logits, each [length, vocab_size].
    """
    return paged_cases(open_paged(path, layers), prompts, wanted)


def open_paged(path: Path, layers: Sequence[KVLayer]) -> PagedSession:
    """The graph at ``path``, in its reference function, with caches of no use yet."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".reference-") as folder:
        reference = Path(folder) / "reference.onnx"
        save_reference(path, reference)
        return PagedSession(reference, layers, num_blocks=1, block_size=_BLOCK_SIZE)


def paged_cases(session: PagedSession, prompts: list[Ints], wanted: list[Floats]) -> list[Case]:
    """The same as :func:`run_paged`, of a graph that is open."""
    blocks_each = -(-len(prompts[0]) // session.block_size)
    session.hold(1 + (len(prompts) + 1) * blocks_each)
    return list(_Runs(session, prompts, wanted, blocks_each).cases())


class _Runs:
    """Three prompts over one pool; block 0 stays unused, as in the server."""

    def __init__(self, session: PagedSession, prompts: list[Ints], wanted: list[Floats], blocks_each: int) -> None:
        self._session = session
        self._prompts = prompts
        self._wanted = wanted
        numbers = np.random.default_rng(0).permutation(np.arange(1, 1 + (len(prompts) + 1) * blocks_each))
        self._tables = numbers.reshape(-1, blocks_each).tolist()

    def cases(self) -> Iterator[Case]:
        first, length = self._prompts[0], len(self._prompts[0])
        yield Case("prefill", self._run((0, 0, length))[0], self._wanted[0])
        yield self._chunks(first)
        yield from self._mixed(length)

    def _chunks(self, prompt: Ints) -> Case:
        parts, start = [], 0
        for size in (*_CHUNKS, len(prompt)):
            end = min(start + size, len(prompt))
            parts += self._session.run([PagedRow(prompt[start:end], start, self._tables[-1])])
            start = end
            if start == len(prompt):
                break
        return Case("chunk", np.concatenate(parts), self._wanted[0])

    def _mixed(self, length: int) -> Iterator[Case]:
        """Decodes, a chunk and a prefill in one run; then rows of different lengths decode together."""
        steps = min(_DECODE_STEPS, length // 2)
        ends = [max(length - steps - 3 * row, 1) for row in range(len(self._prompts))]
        starts = [ends[0] - 1, ends[1] // 2, *(0 for _ in ends[2:])]
        begun = [(row, 0, start) for row, start in enumerate(starts) if start]
        if begun:
            self._run(*begun)
        spans = tuple(zip(range(len(ends)), starts, ends, strict=True))
        found = self._run(*spans)
        wanted = [self._wanted[row][start:end] for row, start, end in spans]
        yield Case("mixed", np.concatenate(found), np.concatenate(wanted))

        # The first prompt once more, over blocks that the first sequence has filled.
        shared = (ends[0] - 1) // _BLOCK_SIZE
        self._tables[-1][:shared] = self._tables[0][:shared]
        start = shared * _BLOCK_SIZE
        tail = PagedRow(self._prompts[0][start : ends[0]], start, self._tables[-1])
        yield Case("shared_prefix", self._session.run([tail])[0], self._wanted[0][start : ends[0]])

        decoded, expected = [], []
        for step in range(steps):
            decoded += self._run(*((row, end + step, end + step + 1) for row, end in enumerate(ends)))
            expected += [self._wanted[row][end + step : end + step + 1] for row, end in enumerate(ends)]
        yield Case("ragged_decode", np.concatenate(decoded), np.concatenate(expected))

    def _run(self, *spans: tuple[int, int, int]) -> list[Floats]:
        """One run over (prompt, start, end) each."""
        return self._session.run(
            [PagedRow(self._prompts[row][start:end], start, self._tables[row]) for row, start, end in spans]
        )
