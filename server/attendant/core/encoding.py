"""What rooms say to each other about rows: inputs that an encoder computes independently of each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from attendant.core.errors import AttendantError

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Row:
    """One input, ready to run.

    Attributes:
        id: unique among the rows of a model that have not ended.
        arrays: its own part of the graph's inputs. Text: input_ids [n] int64, and where the graph takes them
            token_type_ids [n] int64 and logits_index [m] int64, indices into the row's tokens. Images: pixel_values
            [3, height, width] float32. Audio: input_values [n] float32.
        size: what it counts in a batch: tokens, samples, or 1 for an image.
        arrival_ns: when its call came. deadline_ns: when it is of no use any more, or None. Both monotonic.
        priority: of its call: the higher, the sooner. tenant: whom it is charged to.
    """

    id: str
    arrays: Arrays
    size: int
    arrival_ns: int
    deadline_ns: int | None = None
    priority: int = 0
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class BatchStats:
    """One run: its rows, their sizes together, the size it computed with padding, and nanoseconds of the run.

    ``num_waiting``: rows that it left behind. ``turn_ns``: nanoseconds from the end of the run before, if that had left
    rows behind, to its own; otherwise those of the run and of choosing its rows.
    """

    num_rows: int
    size: int
    padded_size: int
    run_ns: int
    num_waiting: int = 0
    turn_ns: int = 0


@dataclass(frozen=True, slots=True)
class RowResult:
    """A row that has been computed.

    Attributes:
        outputs: its own part of the graph's outputs, as :class:`attendant.bundle.EncoderManifest` names them: what is
            given per token has a first dimension of n, what is given per row none.
        started_ns: when its run began, monotonic. run_ns: how long the run took.
    """

    id: str
    outputs: Arrays
    started_ns: int
    run_ns: int


@dataclass(frozen=True, slots=True)
class RowFailure:
    """A row that has ended without a result."""

    id: str
    error: AttendantError


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What one turn of a batch thread tells: each row ends exactly once. ``stats`` is None if nothing ran."""

    ends: tuple[RowResult | RowFailure, ...]
    stats: BatchStats | None = None
