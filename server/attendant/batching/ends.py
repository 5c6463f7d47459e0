"""How a row ends whose run ended: with what the run gave, if that is of any use, or with an error."""

from __future__ import annotations

import numpy as np

from attendant.core.encoding import Arrays, Row, RowFailure, RowResult
from attendant.core.errors import StepFailed


def end_of(row: Row, outputs: Arrays, started_ns: int, run_ns: int) -> RowResult | RowFailure:
    """The end of a row with these outputs, whose run began at ``started_ns`` and took ``run_ns``. Values that
    are no finite numbers fail it: a vector or a score of them would look like an answer."""
    if any(_is_spoilt(values) for values in outputs.values()):
        return RowFailure(row.id, StepFailed("the model gave results for this input that are not finite numbers"))
    return RowResult(row.id, outputs, started_ns, run_ns)


def failed_run(row_id: str, cause: Exception) -> RowFailure:
    """The end of a row whose run raised ``cause``, also alone."""
    error = StepFailed(f"the model run of this input failed; the server's log has the cause, of row {row_id}")
    error.__cause__ = cause
    return RowFailure(row_id, error)


def _is_spoilt(values: np.ndarray) -> bool:
    """Whether the largest of the values is no finite number: it is none if one is not a number, and no array of flags
    is made. Minus infinity may stand for what a model never says."""
    return values.dtype.kind == "f" and values.size > 0 and not np.isfinite(values.max())
