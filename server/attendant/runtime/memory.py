"""What runners ask of memory that sequences own: tensors with a row for each place, and no policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from attendant.core.plan import Move, StepPlan
from attendant.runtime.packed import Fields


class SlotMemory(Protocol):
    """Tensors of one kind of memory, a row for each slot, for runs on a processor over the rows of some slots.

    The KV cache itself is one. What is decided about it, the engine's accounts decide:
    :class:`~attendant.engine.memory.SequenceMemory`.
    """

    @property
    def num_bytes(self) -> int:
        """Bytes of its tensors; of memory that is backed when it is touched, at most."""
        ...

    def apply(self, moves: Sequence[Move]) -> None:
        """Carry out those of the moves that are its own, in order."""
        ...

    def begin(self, plan: StepPlan) -> None:
        """Have in the rows what the plan's runs begin with: feed those that it says, for one thing.

        A plan may be a part of one whose runs failed, before or after they wrote: its chunks begin where they did.
        """
        ...

    def bind(self, binding: ort.IOBinding, takes: frozenset[str], slots: slice) -> None:
        """Bind the tensors of ``slots`` for good, those inputs that the graph ``takes`` and all outputs."""
        ...

    def bind_run(self, binding: ort.IOBinding, takes: frozenset[str], slots: slice, total: int) -> None:
        """Bind the inputs of the next run, of sequences of up to ``total`` positions, that tell about the rows."""
        ...

    def protect(self, slots: Sequence[int]) -> None:
        """The next run computes something for these slots that must not count: remember their rows."""
        ...

    def restore(self) -> None:
        """That run is done, or has raised: the rows are as they were."""
        ...


class PageMemory(Protocol):
    """Tensors of one kind of memory beside a paged KV cache, a row for each row of the block table, on a device.

    The rows of a run are any, one for each token. No row runs for nothing, so there is nothing to protect.
    """

    @property
    def num_bytes(self) -> int:
        """Bytes of its tensors."""
        ...

    def apply(self, moves: Sequence[Move]) -> None:
        """Carry out those of the moves that are its own, in order; the runs before must be done."""
        ...

    def begin(self, plan: StepPlan) -> None:
        """See :meth:`SlotMemory.begin`."""
        ...

    def bind(self, binding: ort.IOBinding, needed: set[str]) -> None:
        """Bind its tensors by address, those inputs that are ``needed`` and all outputs."""
        ...

    def fields(self, num_tokens: int) -> Fields:
        """The inputs of a run of so many tokens that tell about the rows."""
        ...

    def fill(self, arrays: dict[str, npt.NDArray[Any]], rows: npt.NDArray[np.int32]) -> None:
        """Write them for tokens of ``rows`` [n] int32 of the block table; ``arrays`` may have room for more tokens."""
        ...

    def fill_longest(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Write them for tokens that all read the most that the first row can have."""
        ...
