"""A server whose steps are written down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
from attendant.core.pace import StepWork

from attendant_loadtest.overload.servers import Server, serving

COLUMNS = (*StepWork._fields, "seconds", "at_s")
"""Of a step that was written down: its work, how long it took, and when it ended, in seconds of the monotonic clock."""


@contextmanager
def recorded(arguments: Sequence[str | Path]) -> Iterator[tuple[Server, npt.NDArray[np.float64]]]:
    """Start a server with these arguments and end it afterwards. Then, and not before, the array has its steps
    [num_steps, COLUMNS] float64.

    Raises:
        ServerFailed: with the server's log.
    """
    steps = np.empty((0, len(COLUMNS)))
    with TemporaryDirectory() as folder:
        file = Path(folder) / "steps.npy"
        with serving(arguments, ("attendant_loadtest.simulate.recorder", str(file))) as server:
            yield server, steps
        found = np.load(file)
        steps.resize(found.shape, refcheck=False)
        steps[:] = found
