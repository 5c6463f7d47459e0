"""What became of one class, and what an error of the export says about it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

OUTCOMES = ("right", "refused", "opaque", "wrong", "traceback", "not tried")
DIFFER = "answers differ"
"""Begins what is said of a refusal by the export's own comparison."""
LIMIT = 1e-3
"""Of errors: above, a bundle is wrong."""
_INNER = re.compile(r"--debug shows where|ONNX Runtime cannot run|\b[A-Z]\w*(Error|Exception|Failure)\b: ")


@dataclass(frozen=True)
class Result:
    """One class.

    Attributes:
        kind: of :data:`tests.export.census.kinds.KINDS`. model_type: of its config. class_name: in transformers.
        outcome: one of :data:`OUTCOMES`. detail: the sentence of the refusal, or what went wrong.
        error: the largest difference of an output; where the model's outputs spread by more than 1, in their spread.
        seconds: it took.
    """

    kind: str
    model_type: str
    class_name: str
    outcome: str
    detail: str = ""
    error: float | None = None
    seconds: float = 0.0

    def line(self) -> str:
        """As a line of JSON, without what it has not."""
        return json.dumps({name: value for name, value in asdict(self).items() if value not in ("", None)})

    @property
    def key(self) -> tuple[str, str]:
        """Which class of which kind."""
        return self.kind, self.model_type


@dataclass(frozen=True)
class Judged:
    """One that is right: its largest error, see :class:`Result`, and what there is to say beside."""

    error: float
    remark: str = ""


class NotTried(Exception):
    """No model of the class could be made, for no fault of the export."""


class Wrong(Exception):
    """A bundle was written, and answers otherwise than the model."""


def spread_error(found: Sequence[Any], wanted: Sequence[Any]) -> float:
    """The largest difference of arrays, by their spread where that is above 1.

    Raises:
        Wrong: it is too large, or shapes differ.
    """
    for one, other in zip(found, wanted, strict=True):
        if one.shape != other.shape:
            raise Wrong(f"outputs have shape {list(one.shape)}, the model's {list(other.shape)}")
    spread = max(1.0, float(np.concatenate([array.ravel() for array in wanted]).std()))
    error = max(float(np.abs(one - other).max()) for one, other in zip(found, wanted, strict=True)) / spread
    if not error <= LIMIT:  # NaN as well
        raise Wrong(f"outputs differ by {error:.2g} of their spread")
    return error


def of_refusal(error: Exception) -> tuple[str, str]:
    """Outcome and detail of what the export raised: an error of its own, or one that nobody foresaw."""
    from attendant_export.errors import ExportError, ParityError

    said = " ".join(str(error).split())
    if not isinstance(error, ExportError):
        return "traceback", f"{type(error).__name__}: {said}"[:400]
    if _INNER.search(said):
        return "opaque", said[:400]
    return "refused", (f"{DIFFER}: {said}" if isinstance(error, ParityError) else said)[:400]
