"""Calls on models that write what they hear, as the front end receives them, and their answers. No transport words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from attendant.core.generation import GenerationCall
from attendant.core.receipt import Receipt
from attendant.core.request import Timings, Usage

SpeechTask = Literal["transcribe", "translate"]


@dataclass(frozen=True, slots=True)
class SpeechCall:
    """What to do with a recording.

    Attributes:
        model: name of the model; empty if the server has exactly one for speech.
        task: what is said in its own language, or in English.
        language: a code as the model spells it; empty: detected in the first window with speech.
        timestamps: segments with times; without, one for each window.
        condition_on_previous_text: windows are given the text before them.
        prompt: a text that the first window is given as what was said before it: its words and its style rub off.
        how: sampling and beam search of each window; its prompt is not read.
        receipt: give one with the result.
    """

    model: str
    how: GenerationCall
    task: SpeechTask = "transcribe"
    language: str = ""
    timestamps: bool = False
    condition_on_previous_text: bool = False
    receipt: bool = False
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class RawSound:
    """Samples of one channel, signed 16 bits, little endian, at ``sampling_rate`` Hz."""

    pcm16: bytes
    sampling_rate: int


@dataclass(frozen=True, slots=True)
class SoundData:
    """A sound file."""

    file: bytes


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of what was said.

    Attributes:
        start_s, end_s: from the recording's begin.
        token_ids: those of its text.
        mean_logprob: mean natural log-probability of the tokens of the window that it lies in.
        no_speech_probability: that the window holds no speech; 0 where the model does not tell.
        gap: what stands in the whole text between the segment before and this one.
    """

    start_s: float
    end_s: float
    text: str
    token_ids: tuple[int, ...]
    mean_logprob: float
    no_speech_probability: float
    gap: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Partial:
    """What was heard since the last segment; it may change."""

    text: str


@dataclass(frozen=True, slots=True)
class SpeechResult:
    """All of a recording; the last part of an answer.

    Attributes:
        language: as the call named it, or as detected; empty for a model of one language, or where nothing was said.
        language_probability: of what was detected; otherwise 1.
        warnings: what was amiss with the recording, in words: that its file ends early, for example.
        usage, timings: of all windows, those of partial text included. ``timings.first_token_ns`` is that of the first,
            from the call's arrival, as is ``total_ns``; the others are sums.
    """

    text: str
    segments: tuple[Segment, ...]
    language: str
    language_probability: float
    duration_s: float
    usage: Usage
    timings: Timings
    warnings: tuple[str, ...] = ()
    receipt: Receipt | None = None


SpeechPart = Segment | Partial | SpeechResult
