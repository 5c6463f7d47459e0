"""Compares a finished encoder graph with the model it came from, and refuses one that is too far off."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from attendant.bundle import Parity, ParityCase

from attendant_export.encoders.plan import EncoderCase, Floats
from attendant_export.errors import ParityError, first_line
from attendant_export.fidelity.vectors import check_vectors, compare_vectors
from attendant_export.parity import judge
from attendant_export.recipe import Recipe
from attendant_export.session import RUN_ERRORS, open_session

_SPREAD_ENOUGH = 1e-6


def verify_encoder(
    path: Path, cases: Sequence[EncoderCase], recipe: Recipe, natural: EncoderCase | None = None
) -> Parity:
    """Runs the graph on every case.

    A graph for target cuda runs on this machine's CPU, in whatever type its kernels there have.

    Args:
        natural: a case of natural text, if there is one.

    Raises:
        ParityError: a case is further off than ``recipe`` allows, and by how much, or cannot be run.
    """
    session = open_session(path)
    inputs = {value.name for value in session.get_inputs()}

    def run(case: EncoderCase) -> Floats:
        feeds = {name: value for name, value in case.feeds.items() if name in inputs}
        try:
            return case.rows_of(session.run(None, feeds)[0])
        except RUN_ERRORS as error:
            raise ParityError(
                f"verification failed in {case.name}: ONNX Runtime cannot run the graph: {first_line(error)}"
            ) from error

    spread = float(cases[0].wanted.std())
    parity = judge([_compare(case, run(case)) for case in cases], spread, recipe, "output")
    if natural is None:
        return parity
    vectors = compare_vectors(natural.wanted, run(natural))
    check_vectors(vectors, recipe.precision)
    return parity.model_copy(update={"vectors": vectors})


def _compare(case: EncoderCase, rows: Floats) -> ParityCase:
    if rows.shape != case.wanted.shape:
        raise ParityError(f"verification failed in {case.name}: the output is {rows.shape}, not {case.wanted.shape}")
    found, wanted = rows.astype(np.float64), case.wanted.astype(np.float64)
    norms = float(np.linalg.norm(found) * np.linalg.norm(wanted))
    return ParityCase(
        name=case.name,
        max_abs_error=float(np.abs(found - wanted).max()),
        cosine=float((found * wanted).sum()) / norms if norms > _SPREAD_ENOUGH else 1.0,
        positions=len(wanted),
        greedy_agreement=float((found.argmax(-1) == wanted.argmax(-1)).mean()),
    )
