"""Compares the finished graphs with the model they came from, and refuses ones that are too far off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attendant.bundle import AudioSource, Graph, KVLayer, Parity, TextSource

from attendant_export.fidelity.limits import check_fidelity
from attendant_export.parity import Case, compare, judge
from attendant_export.recipe import Recipe
from attendant_export.seq2seq.encoder import Row
from attendant_export.seq2seq.fidelity import measure_seq2seq
from attendant_export.seq2seq.material import Material
from attendant_export.seq2seq.paged_session import PagedSeq2SeqSession
from attendant_export.seq2seq.reference import answer_logits
from attendant_export.seq2seq.session import Floats, Ints, Seq2SeqSession

Session = Seq2SeqSession | PagedSeq2SeqSession
_ANSWER, _SHORTEST, _ROWS = 24, 14, 3
_DECODE_STEPS, _CHUNKS = 8, (7, 1, 5)
_PAGED_ROWS, _PAGED_TOKENS = 2, 16  # the reference function of target cuda is slow


def verify_seq2seq(  # noqa: PLR0913 - what is compared with what
    model: Any,
    folder: Path,
    graphs: Mapping[str, Graph],
    source: TextSource | AudioSource,
    layers: Sequence[KVLayer],
    cross_layers: Sequence[KVLayer],
    rows: Sequence[Row],
    *,
    recipe: Recipe,
    context_length: int,
    material: Material | None = None,
    max_kl: float | None = None,
) -> Parity:
    """Runs the graphs and the torch model (eager attention) on the same sources and answers.

    Graphs for target cuda run on this machine's CPU, the decoder's through its reference function. The encoder reads
    all ``rows`` in one run; the answers are random tokens, but for a trained model, which is compared on natural
    sources and answers only.

    Args:
        material: natural sources and answers, for a report on fidelity.
        max_kl: the largest divergence that is asked for, nats a token, if the precision's own limit is not enough.

    Raises:
        ParityError: a case or the fidelity is further off than ``recipe`` allows; says by how much.
    """
    audio = isinstance(source, AudioSource)
    if material is not None and recipe.target == "cuda":
        material = material.head(_PAGED_ROWS, _PAGED_TOKENS)
    answers = _natural_answers(material)
    if material is not None and answers is not None:
        rows = material.rows[: len(answers)]
    else:
        answers = random_answers(model, len(rows), min(_ANSWER, context_length))
    read = [*rows, *(material.rows if material is not None else ())]
    longest = max(source.max_length if isinstance(source, AudioSource) else len(row) for row in read)
    lengths = [answers.shape[1], *(map(len, material.answers) if material is not None else ())]
    open_session = Seq2SeqSession if recipe.target == "cpu" else PagedSeq2SeqSession
    session = open_session(
        folder,
        graphs,
        source,
        layers,
        cross_layers,
        slots=max(len(rows) + 1, len(material.rows) if material is not None else 0),
        max_length=max(lengths),
        max_source=longest,
    )
    wanted = [answer_logits(model, audio, row, answer) for row, answer in zip(rows, answers, strict=True)]
    cases = [compare(case) for case in _run_cases(session, rows, answers, wanted)]
    parity = judge(cases, float(np.concatenate(wanted).std()), recipe)
    if material is None:
        return parity
    fidelity = measure_seq2seq(model, session, material, audio=audio)
    check_fidelity(fidelity, recipe, max_kl)
    return parity.model_copy(update={"fidelity": fidelity})


def random_answers(model: Any, count: int, length: int) -> Ints:
    """[count, length] of tokens that begin as the model's answers do."""
    width = model.get_output_embeddings().weight.shape[0]
    answers = np.random.default_rng(1).integers(0, width, (count, length))
    answers[:, 0] = model.generation_config.decoder_start_token_id or 0
    return answers


def _natural_answers(material: Material | None) -> Ints | None:
    """[rows, length] of a trained model's answers, cut to one length; None where they are too short to be cut."""
    if material is None or not material.trained:
        return None
    length = min(_ANSWER, *(len(answer) for answer in material.answers[:_ROWS]))
    if length < _SHORTEST:
        return None
    return np.stack([answer[:length] for answer in material.answers[:_ROWS]])


def _run_cases(session: Session, rows: Sequence[Row], answers: Ints, wanted: Sequence[Floats]) -> Iterator[Case]:
    """An answer whole, in chunks, and answers of different lengths to different sources in one batch."""
    count, length = answers.shape
    session.read([count], [rows[0]])
    whole = slice(count, count + 1)
    yield Case("prefill", session.run(whole, answers[:1], [0]), wanted[0])

    session.read(range(count), rows)
    parts, start = [], 0
    for size in (*_CHUNKS, length):
        part = answers[:1, start : start + size]
        if part.size:
            parts.append(session.run(slice(0, 1), part, [start]))
        start += size
    yield Case("chunk", np.concatenate(parts), wanted[0])

    steps = min(_DECODE_STEPS, length // 2)
    lengths = [max(1, length - steps - 3 * row) for row in range(count)]
    for row, end in enumerate(lengths):
        session.run(slice(row, row + 1), answers[row : row + 1, :end], [0], logits_index=[])
    found, expected = [], []
    for _ in range(steps):
        tokens = np.array([[answer[at]] for answer, at in zip(answers, lengths, strict=True)])
        found.append(session.run(slice(0, count), tokens, lengths))
        expected += [logits[at] for logits, at in zip(wanted, lengths, strict=True)]
        lengths = [at + 1 for at in lengths]
    yield Case("ragged_decode", np.concatenate(found), np.stack(expected))
