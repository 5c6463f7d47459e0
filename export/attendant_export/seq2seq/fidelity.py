"""Measures an encoder-decoder's bundle against its source model: the same answers to the same natural sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from attendant.bundle import Fidelity

from attendant_export.fidelity.distance import DistanceSum, Floats
from attendant_export.seq2seq.material import Material
from attendant_export.seq2seq.paged_session import PagedSeq2SeqSession
from attendant_export.seq2seq.reference import answer_logits
from attendant_export.seq2seq.session import Seq2SeqSession


def measure_seq2seq(
    model: Any, session: Seq2SeqSession | PagedSeq2SeqSession, material: Material, *, audio: bool
) -> Fidelity:
    """Answers whole, and token by token side by side.

    Args:
        session: with a slot for each source of ``material``.
    """
    count, first = len(material.rows), material.leading - 1
    session.read(range(count), material.rows)
    prompts, wanted = DistanceSum(), []
    for index, (row, answer) in enumerate(zip(material.rows, material.answers, strict=True)):
        wanted.append(answer_logits(model, audio, row, answer)[first:-1].copy())
        found = session.run(slice(index, index + 1), answer[None], [0])
        prompts.add(wanted[-1], found[first:-1], answer[material.leading :])
    return Fidelity(
        trained=material.trained,
        entropy=prompts.entropy,
        prompt=prompts.mean(),
        decode=_decoded(session, material, wanted).mean(),
    )


def _decoded(
    session: Seq2SeqSession | PagedSeq2SeqSession, material: Material, wanted: Sequence[Floats]
) -> DistanceSum:
    """The leading tokens but the last together, then a token of each answer at a time; those that end repeat it."""
    count, first = len(material.rows), material.leading - 1
    for index, answer in enumerate(material.answers if first else ()):
        session.run(slice(index, index + 1), answer[None, :first], [0], logits_index=[])
    rows = DistanceSum()
    for at in range(first, max(map(len, material.answers)) - 1):
        tokens = np.array([[answer[min(at, len(answer) - 1)]] for answer in material.answers])
        found = session.run(slice(0, count), tokens, [at] * count)
        going = [row for row, answer in enumerate(material.answers) if at + 1 < len(answer)]
        reference = np.stack([wanted[row][at - first] for row in going])
        rows.add(reference, found[going], np.array([material.answers[row][at + 1] for row in going]))
    return rows
