"""Compares a finished encoder graph with the model it came from, and refuses one that is too far off."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from attendant.bundle import Parity, ParityCase, Precision

from attendant_export.decoders.verify import TOLERANCES
from attendant_export.encoders.plan import EncoderCase, Floats
from attendant_export.errors import ParityError
from attendant_export.fidelity.vectors import check_vectors, compare_vectors
from attendant_export.session import open_session

_SPREAD_ENOUGH = 1e-6


def verify_encoder(
    path: Path, cases: Sequence[EncoderCase], precision: Precision, natural: EncoderCase | None = None
) -> Parity:
    """Runs the graph on every case.

    A graph for target cuda runs on this machine's CPU, in whatever type its kernels there have.

    Args:
        natural: a case of natural text, if there is one.

    Raises:
        ParityError: a case is further off than ``precision`` allows; says by how much.
    """
    session = open_session(path)
    inputs = {value.name for value in session.get_inputs()}

    def run(case: EncoderCase) -> Floats:
        feeds = {name: value for name, value in case.feeds.items() if name in inputs}
        return case.rows_of(session.run(None, feeds)[0])

    spread = float(cases[0].wanted.std())
    parity = judge([_compare(case, run(case)) for case in cases], spread, precision)
    if natural is None:
        return parity
    vectors = compare_vectors(natural.wanted, run(natural))
    check_vectors(vectors, precision)
    return parity.model_copy(update={"vectors": vectors})


def judge(cases: Sequence[ParityCase], spread: float, precision: Precision) -> Parity:
    """The parity report of ``cases``; ``spread`` is the standard deviation of the model's outputs.

    Raises:
        ParityError: a case breaks the tolerance of ``precision``, or is not a number.
    """
    tolerance = TOLERANCES[precision]
    for case in cases:
        bound = None if tolerance.max_error is None else tolerance.max_error * max(1.0, spread)
        if bound is not None and not case.max_abs_error <= bound:
            raise ParityError(
                f"verification failed in {case.name}: the largest error is {case.max_abs_error:.3g}, "
                f"{precision} allows {bound:.3g} (cosine {case.cosine:.6f})"
            )
        if not case.cosine >= tolerance.cosine:
            raise ParityError(
                f"verification failed in {case.name}: the cosine with the model's output is {case.cosine:.6f}, "
                f"{precision} asks for at least {tolerance.cosine:g} (largest error {case.max_abs_error:.3g})"
            )
    positions = sum(case.positions for case in cases)
    return Parity(
        max_abs_error=max(case.max_abs_error for case in cases),
        cosine=min(case.cosine for case in cases),
        greedy_agreement=sum(case.greedy_agreement * case.positions for case in cases) / positions,
        tolerance=tolerance.describe(),
        cases=tuple(cases),
    )


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
