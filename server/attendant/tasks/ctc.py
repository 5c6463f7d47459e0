"""Frames of a speech model to text and timed words, by greedy decoding (connectionist temporal classification)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from attendant.bundle import CtcHead


@dataclass(frozen=True, slots=True)
class Word:
    """A word, from the start of its first letter's frames to the end of its last letter's, in seconds."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said. ``warnings``: what was amiss with the recording, in words."""

    text: str
    words: tuple[Word, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Token:
    """``text`` over the frames ``start`` up to but not including ``end``."""

    text: str
    start: int
    end: int


def transcribe(logits: npt.NDArray[np.float32], head: CtcHead, sampling_rate: int) -> Transcript:
    """The likeliest token of each frame; repetitions are one, blanks are none; delimiters stand between words.

    Equal to the ``decode`` of transformers' Wav2Vec2CTCTokenizer with its word offsets.

    Args:
        logits: [num_frames, vocab_size] float32.
        head: of the model.
        sampling_rate: of the samples that the frames are of, in Hz.
    """
    tokens = list(_tokens(logits.argmax(axis=-1), head))
    text = "".join(" " if token.text == head.word_delimiter else token.text for token in tokens).strip()
    frame_s = head.samples_per_frame / sampling_rate
    return Transcript(text, tuple(_words(tokens, head.word_delimiter, frame_s)))


def _tokens(ids: npt.NDArray[np.int64], head: CtcHead) -> Iterator[_Token]:
    """Runs of one token, less those of blanks."""
    place = 0
    for token_id, run in groupby(ids.tolist()):
        start, place = place, place + sum(1 for _ in run)
        if token_id != head.blank_id:
            yield _Token(head.vocabulary[token_id], start, place)


def _words(tokens: list[_Token], delimiter: str, frame_s: float) -> Iterator[Word]:
    for is_delimiter, run in groupby(tokens, lambda token: token.text == delimiter):
        if not is_delimiter:
            letters = list(run)
            text = "".join(token.text for token in letters)
            yield Word(text, letters[0].start * frame_s, letters[-1].end * frame_s)
