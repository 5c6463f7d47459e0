"""Compares a finished graph with the model it came from, and refuses one that is too far off: on fixed cases (whole
prompts, chunks, rows that decode together), and on natural text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attendant.bundle import ChangingFrequencies, Fidelity, Frequencies, Graph, KVLayer, Parity

from attendant_export.decoders.families import reference_attention
from attendant_export.decoders.rope import coded_frequencies
from attendant_export.decoders.session import DecoderSession, Floats, Ints
from attendant_export.decoders.verify_pages import open_paged, paged_cases
from attendant_export.fidelity.decoder import PagedDecoder, SlotDecoder, Stretch, measure_decoder
from attendant_export.fidelity.limits import check_fidelity
from attendant_export.fidelity.windows import text_windows
from attendant_export.memory import give_back, set_aside
from attendant_export.paged.session import PagedSession
from attendant_export.parity import Case, compare, judge
from attendant_export.prompts import Encode, sample_prompts
from attendant_export.recipe import Recipe
from attendant_export.texts import verification_text

_CHUNKS = (7, 1, 5)
_DECODE_STEPS = 8
_LEAST_WINDOW = 8  # tokens
# The reference function of target cuda is slow: it has one window, and few steps.
_PAGED_TOKENS, _PAGED_STRETCH = 160, Stretch(rows=1, prompt=96, steps=16)


@dataclass(frozen=True)
class Reader:
    """How a model reads text: ``encode`` gives token ids without special tokens, ``leading`` come before every text."""

    encode: Encode
    leading: tuple[int, ...] = ()


def verify(  # noqa: PLR0913 - what is compared with what
    model: Any,
    path: Path,
    graph: Graph,
    layers: Sequence[KVLayer],
    *,
    recipe: Recipe,
    context_length: int,
    reader: Reader | None = None,
    prompt_path: Path | None = None,
    max_kl: float | None = None,
    changing: ChangingFrequencies | None = None,
) -> Parity:
    """Runs the graph and the torch model (eager attention) on the same prompts, and on natural text.

    A graph for target cuda runs on this machine's CPU through its reference function.

    Args:
        reader: for natural prompts and text; without it prompts are random ids, and there is no report on fidelity.
        prompt_path: the graph that computes prompts, if it is another one.
        changing: how position_ids tell frequencies beyond ``context_length``, which are looked at, too.
        max_kl: the largest divergence that is asked for, nats a token, if the precision's own limit is not enough.

    Raises:
        ParityError: a case or the fidelity is further off than ``recipe`` allows; says by how much.
    """
    prompts = sample_prompts(model, layers, context_length, reader.encode if reader else None)
    with torch.no_grad(), reference_attention(model):
        wanted = [model(torch.from_numpy(row)[None], use_cache=False).logits[0].float().numpy() for row in prompts]
    set_aside(model)  # while the graph is opened
    spread, vocab_size = _spread(wanted), wanted[0].shape[-1]
    session: PagedSession | DecoderSession
    if recipe.target == "cuda":
        session = open_paged(path, layers)
        cases = paged_cases(session, prompts, wanted)
    else:
        slots, longest = len(prompts) + 1, len(prompts[0])
        session = DecoderSession(path, graph, layers, slots=slots, max_length=longest, prompt_path=prompt_path)
        cases = list(_run_cases(session, prompts, wanted))
        if changing is not None:
            cases.append(_beyond(model, session, prompts[0], changing))
    parity = judge([compare(case) for case in cases], spread, recipe)
    del wanted, cases
    give_back(sum(weight.nbytes for weight in model.parameters()))
    if reader is None:
        return parity
    fidelity = _fidelity(model, session, reader, context_length, vocab_size)
    if fidelity is not None:
        check_fidelity(fidelity, recipe, max_kl)
    return parity.model_copy(update={"fidelity": fidelity})


def _fidelity(
    model: Any, session: PagedSession | DecoderSession, reader: Reader, context_length: int, vocab_size: int
) -> Fidelity | None:
    """None where the text makes no tokens that the model knows."""
    paged = isinstance(session, PagedSession)
    windows = text_windows(
        verification_text(),
        reader.encode,
        vocab_size=vocab_size,
        context_length=min(context_length, _PAGED_TOKENS) if paged else context_length,
        leading=reader.leading,
        **({"most": _PAGED_TOKENS} if paged else {}),
    )
    if not windows or len(windows[0]) < _LEAST_WINDOW:
        return None
    stretch = _PAGED_STRETCH if paged else Stretch()
    rows, length = min(stretch.rows, len(windows)), len(windows[0])
    if isinstance(session, PagedSession):
        return measure_decoder(model, PagedDecoder(session, rows, length), windows, stretch)
    return measure_decoder(model, SlotDecoder(session, length, vocab_size), windows, stretch)


def _run_cases(session: DecoderSession, prompts: list[Ints], wanted: list[Floats]) -> Iterator[Case]:
    """Prefill whole, prefill in chunks, and decode of rows of different lengths in one batch."""
    first = prompts[0]
    length = len(first)
    yield Case("prefill", session.run(slice(3, 4), first[None], [0]), wanted[0])

    parts, start = [], 0
    for size in (*_CHUNKS, length):
        chunk = first[start : start + size]
        parts.append(session.run(slice(1, 2), chunk[None], [start]))
        start += len(chunk)
        if start == length:
            break
    yield Case("chunk", np.concatenate(parts), wanted[0])

    # Every row decodes up to its last token, from a prompt of its own length; the chunked row's cache is overwritten.
    steps = min(_DECODE_STEPS, length // 2)
    lengths = [length - steps - 3 * row for row in range(len(prompts))]
    for row, prompt in enumerate(prompts):
        session.run(slice(row, row + 1), prompt[None, : lengths[row]], [0], logits_index=[])
    found, expected = [], []
    for _ in range(steps):
        tokens = np.array([[prompt[at]] for prompt, at in zip(prompts, lengths, strict=True)])
        found.append(session.run(slice(0, len(prompts)), tokens, lengths))
        expected += [logits[at] for logits, at in zip(wanted, lengths, strict=True)]
        lengths = [at + 1 for at in lengths]
    yield Case("ragged_decode", np.concatenate(found), np.stack(expected))


def _beyond(model: Any, session: DecoderSession, prompt: Ints, changing: ChangingFrequencies) -> Case:
    """A prompt with the frequencies of a longer one."""
    length = changing.after + len(prompt)
    shift = Frequencies(changing.kind, changing.after).shift(length, length, 0)
    tokens = torch.from_numpy(prompt)[None]
    with torch.no_grad(), reference_attention(model), coded_frequencies(model, changing):
        positions = torch.arange(len(prompt))[None] + shift
        wanted = model(tokens, position_ids=positions, use_cache=False).logits[0].float().numpy()
    return Case("beyond", session.run(slice(3, 4), prompt[None], [0], shift=shift), wanted)


def _spread(wanted: Sequence[Floats]) -> float:
    return float(np.concatenate(wanted).std())
