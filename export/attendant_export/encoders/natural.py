"""The case of natural text that a text encoder is verified with: what a user gets of sentences, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from attendant.bundle import Pooling
from attendant.bundle.pooling import pool

from attendant_export.encoders.plan import EncoderCase, Floats
from attendant_export.encoders.rows import Ints
from attendant_export.encoders.text import TextHead
from attendant_export.encoders.text_tokens import pad_id
from attendant_export.encoders.trial import Sample, Way, make_sample, rows_of, sample_feeds

_ROWS_OF_A_RUN = 8


def natural_case(
    model: Any, head: TextHead, way: Way, rows: Sequence[Ints], poolings: Sequence[Pooling]
) -> EncoderCase | None:
    """All of ``rows`` in one batch; None if there are none.

    Args:
        rows: tokens of sentences, each [length] int64.
        poolings: of a head that gives a vector for each token; compared is then one for each row.
    """
    if not rows:
        return None
    types = [np.zeros_like(row) for row in rows] if "token_type_ids" in _arguments(model) else None
    sample = make_sample(model, head, rows, types, pad_id(model))
    lengths = [len(row) for row in rows]

    def vectors(found: Floats) -> Floats:
        if not poolings:
            return found
        return np.stack([pool(part, poolings) for part in np.split(found, np.cumsum(lengths)[:-1])])

    return EncoderCase(
        name="natural",
        feeds=sample_feeds(sample, way, pad_id(model)),
        wanted=vectors(np.concatenate(sample.wanted)),
        rows_of=lambda output: vectors(rows_of(output, sample, head, way)),
    )


def calibration_feeds(
    model: Any, head: TextHead, way: Way, rows: Sequence[Ints]
) -> list[Mapping[str, npt.NDArray[Any]]]:
    """Inputs of runs over ``rows``, a few of them in each."""
    runs: list[Mapping[str, npt.NDArray[Any]]] = []
    for start in range(0, len(rows), _ROWS_OF_A_RUN):
        some = rows[start : start + _ROWS_OF_A_RUN]
        types = [np.zeros_like(row) for row in some] if "token_type_ids" in _arguments(model) else None
        chosen = [np.arange(len(row)) for row in some] if head.kind == "chosen_logits" else None
        runs.append(sample_feeds(Sample(some, types, chosen, ()), way, pad_id(model)))
    return runs


def _arguments(model: Any) -> set[str]:
    import inspect

    takes = set(inspect.signature(model.forward).parameters)
    return takes if int(getattr(model.config, "type_vocab_size", 0) or 0) > 1 else takes - {"token_type_ids"}
