"""Compares the finished graphs with the model they came from, and refuses ones that are too far off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attendant.bundle import AudioSource, Graph, KVLayer, Parity, TextSource

from attendant_export.recipe import Recipe
from attendant_export.seq2seq.encoder import Row
from attendant_export.seq2seq.paged_session import PagedAnswerSession
from attendant_export.seq2seq.session import AnswerSession, Floats, Ints
from attendant_export.verify import compare, judge
from attendant_export.verify_pages import Case

Session = AnswerSession | PagedAnswerSession
_ANSWER, _DECODE_STEPS, _CHUNKS = 24, 8, (7, 1, 5)


def verify_answers(
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
) -> Parity:
    """Runs the graphs and the torch model (eager attention) on the same sources and answers.

    Graphs for target cuda run on this machine's CPU, the decoder's through its reference function. The encoder reads
    all ``rows`` in one run; the answers are random tokens.

    Raises:
        ParityError: a case is further off than ``recipe`` allows; says by how much.
    """
    length = min(_ANSWER, context_length)
    width = model.get_output_embeddings().weight.shape[0]
    answers = np.random.default_rng(1).integers(0, width, (len(rows), length))
    answers[:, 0] = model.generation_config.decoder_start_token_id or 0
    wanted = [_logits(model, source, row, answer) for row, answer in zip(rows, answers, strict=True)]
    longest = max(source.max_length if isinstance(source, AudioSource) else len(row) for row in rows)
    open_session = AnswerSession if recipe.target == "cpu" else PagedAnswerSession
    session = open_session(
        folder,
        graphs,
        source,
        layers,
        cross_layers,
        slots=len(rows) + 1,
        max_length=length,
        max_source=longest,
    )
    cases = [compare(case) for case in _run_cases(session, rows, answers, wanted)]
    return judge(cases, float(np.concatenate(wanted).std()), recipe)


def _logits(model: Any, source: TextSource | AudioSource, row: Row, answer: Ints) -> Floats:
    """[length, vocab_size] of one source and answer alone."""
    name = "input_features" if isinstance(source, AudioSource) else "input_ids"
    given = {name: torch.from_numpy(row)[None], "decoder_input_ids": torch.from_numpy(answer)[None]}
    with torch.no_grad():
        logits: Floats = model(**given, use_cache=False).logits[0].float().numpy()
    return logits


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
