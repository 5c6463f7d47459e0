"""Measures a decoder's bundle against its source model on natural text: positions of prompts, and decode rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from attendant.bundle import Fidelity

from attendant_export.decoders.families import reference_attention
from attendant_export.decoders.session import DecoderSession
from attendant_export.fidelity.distance import DistanceSum, Floats, Ints
from attendant_export.fidelity.trained import is_trained
from attendant_export.memory import set_aside
from attendant_export.paged.session import PagedRow, PagedSession

_CHUNK_LOGITS, _LEAST_CHUNK = 8 << 20, 32  # of a run: 32 MB in float32, several times while it runs; in tokens


class Decoder(Protocol):
    """A bundle's decoder, run as the server runs it."""

    def prompt(self, tokens: Ints) -> Floats:
        """Logits [n, vocab_size] of one prompt, [n]."""
        ...

    def begin(self, rows: Sequence[Ints]) -> None:
        """Computes prompts, [n] each, of sequences that then decode together."""
        ...

    def step(self, tokens: Ints) -> Floats:
        """Logits [rows, vocab_size] of one more token, [rows], for each of them."""
        ...


@dataclass(frozen=True)
class Stretch:
    """Which positions of a window run as decode rows: ``steps`` after a prompt of ``prompt``, in at most ``rows``
    windows."""

    rows: int = 4
    prompt: int = 64
    steps: int = 96

    def within(self, length: int) -> Stretch:
        """The part of it that a window of ``length`` tokens has room for; the last token only is a target."""
        prompt = min(self.prompt, max(1, length // 3))
        return Stretch(self.rows, prompt, min(self.steps, length - 1 - prompt))


def measure_decoder(model: Any, decoder: Decoder, windows: Sequence[Ints], stretch: Stretch) -> Fidelity:
    """Compares the next tokens of ``decoder`` and of ``model`` (torch, float32, eager) in the same contexts.

    Args:
        windows: at least one, of one length; each is a context of its own.
        stretch: which part of them is decoded, too.
    """
    part = stretch.within(len(windows[0]))
    decoded = windows[: stretch.rows]
    prompts, reference = DistanceSum(), []
    for index, window in enumerate(windows):
        wanted = _reference(model, window)
        prompts.add(wanted[:-1], decoder.prompt(window)[:-1], window[1:])
        if index < len(decoded):
            reference.append(wanted[part.prompt : part.prompt + part.steps].copy())
        del wanted  # before the next ones are there
    rows = DistanceSum()
    decoder.begin([window[: part.prompt] for window in decoded])
    for step in range(part.steps):
        at = part.prompt + step
        found = decoder.step(np.array([window[at] for window in decoded]))
        targets = np.array([window[at + 1] for window in decoded])
        rows.add(np.stack([logits[step] for logits in reference]), found, targets)
    prompt = prompts.mean()
    targets = np.concatenate([window[1:] for window in windows])
    return Fidelity(
        trained=is_trained(prompt.reference_nll, targets, reference[0].shape[-1]),
        entropy=prompts.entropy,
        prompt=prompt,
        decode=rows.mean(),
    )


def _reference(model: Any, window: Ints) -> Floats:
    with torch.no_grad(), reference_attention(model):
        logits: Floats = model(torch.from_numpy(window)[None], use_cache=False).logits[0].float().numpy()
    set_aside(model)  # while the bundle runs
    return logits


class SlotDecoder:
    """A decoder over slots; its caches are made anew. Prompts run in chunks, whose logits take less memory."""

    def __init__(self, session: DecoderSession, length: int, vocab_size: int) -> None:
        self._session = session
        self._length = length
        self._chunk = max(_LEAST_CHUNK, _CHUNK_LOGITS // vocab_size)
        self._lengths: list[int] = []

    def prompt(self, tokens: Ints) -> Floats:
        """See :meth:`Decoder.prompt`."""
        self._session.hold(1, self._length)
        chunks = np.array_split(tokens, -(-len(tokens) // self._chunk))
        starts = np.cumsum([0, *map(len, chunks)])
        found = [
            self._session.run(slice(0, 1), part[None], [start]) for part, start in zip(chunks, starts, strict=False)
        ]
        return np.concatenate(found) if len(found) > 1 else found[0]

    def begin(self, rows: Sequence[Ints]) -> None:
        """See :meth:`Decoder.begin`."""
        self._session.hold(len(rows), self._length)
        self._lengths = [len(row) for row in rows]
        for index, row in enumerate(rows):
            self._session.run(slice(index, index + 1), row[None], [0], logits_index=[])

    def step(self, tokens: Ints) -> Floats:
        """See :meth:`Decoder.step`."""
        logits = self._session.run(slice(0, len(tokens)), tokens[:, None], self._lengths)
        self._lengths = [length + 1 for length in self._lengths]
        return logits


class PagedDecoder:
    """A decoder over pages, in its reference function; its caches are made anew."""

    def __init__(self, session: PagedSession, rows: int, length: int) -> None:
        self._session = session
        each = -(-length // session.block_size)
        session.hold(1 + rows * each)
        self._tables = (1 + np.arange(rows * each)).reshape(rows, each).tolist()
        self._lengths: list[int] = []

    def prompt(self, tokens: Ints) -> Floats:
        """See :meth:`Decoder.prompt`."""
        return self._session.run([PagedRow(tokens, 0, self._tables[0])])[0]

    def begin(self, rows: Sequence[Ints]) -> None:
        """See :meth:`Decoder.begin`."""
        self._lengths = [len(row) for row in rows]
        self._session.run([PagedRow(row, 0, table) for row, table in zip(rows, self._tables, strict=False)])

    def step(self, tokens: Ints) -> Floats:
        """See :meth:`Decoder.step`."""
        rows = zip(tokens, self._lengths, self._tables, strict=False)
        logits = self._session.run([PagedRow(token[None], start, table) for token, start, table in rows])
        self._lengths = [length + 1 for length in self._lengths]
        return np.concatenate(logits)
