"""Where prompts may be cut into chunks without changing the model's results by a bit.

ONNX Runtime computes attention for tiles of query rows, and a tile of one row takes another kernel, which rounds
differently. Cut anywhere else, the results are the same for most models; for the others (heads of 256, for example,
whose matrix products are blocked by the length of the run) every prompt is cut at the same places, always. On devices
whose results depend on the batch whatever is done, prompts are cut where it is convenient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

MIN_CHUNK = 2
SMALLEST_BUDGET = 3
"""A prompt of three tokens cannot be cut: one token would be left."""

SHORT_PIECE = 64
"""A shorter piece of a prompt costs nearly as much as one of this length: the model's weights are read all the same."""


@dataclass(frozen=True, slots=True)
class FreeCuts:
    """Cut anywhere, as long as no tile has a single row.

    Args:
        tiles: rows of a tile, of each head size in the model; all larger than 2.

    Attributes:
        recomputes_in_rows: after a preemption, generated tokens are computed in decode rows again, as the first time;
            otherwise in chunks, like one long prompt.
    """

    recomputes_in_rows: ClassVar[bool] = True
    tiles: tuple[int, ...] = ()

    def cuts(self, start: int, missing: int, budget: int) -> list[int]:
        """Lengths of the chunks to compute now, of ``missing`` tokens from position ``start`` on, within ``budget``."""
        lengths: list[int] = []
        while missing and (length := self._cut(missing, budget)):
            lengths.append(length)
            missing -= length
            budget -= length
        return lengths

    def reusable(self, length: int) -> int:
        """How many of ``length`` equal leading positions another prompt may take over."""
        return length

    def _cut(self, missing: int, budget: int) -> int:
        length = min(missing, budget)
        while length >= MIN_CHUNK and (missing - length == 1 or any(length % tile == 1 for tile in self.tiles)):
            length -= 1
        return length if length >= MIN_CHUNK else 0


@dataclass(frozen=True, slots=True)
class FixedCuts:
    """Cut at every multiple of ``multiple`` and nowhere else. The last chunk of a step may exceed the budget."""

    recomputes_in_rows: ClassVar[bool] = True
    multiple: int

    def cuts(self, start: int, missing: int, budget: int) -> list[int]:
        """See :meth:`FreeCuts.cuts`."""
        lengths: list[int] = []
        while missing and budget > 0:
            length = min(missing, self.multiple - start % self.multiple)
            lengths.append(length)
            start, missing, budget = start + length, missing - length, budget - length
        return lengths

    def reusable(self, length: int) -> int:
        """See :meth:`FreeCuts.reusable`."""
        return length // self.multiple * self.multiple


@dataclass(frozen=True, slots=True)
class AnyCuts:
    """Cut anywhere, chunks of one token included: for devices whose results depend on the batch anyway."""

    recomputes_in_rows: ClassVar[bool] = False

    def cuts(self, start: int, missing: int, budget: int) -> list[int]:
        """See :meth:`FreeCuts.cuts`."""
        length = min(missing, budget)
        return [length] if length > 0 else []

    def reusable(self, length: int) -> int:
        """See :meth:`FreeCuts.reusable`."""
        return length


ChunkRule = FreeCuts | FixedCuts | AnyCuts

ANYWHERE: ChunkRule = FreeCuts()
"""For models whose attention has no tiles."""
