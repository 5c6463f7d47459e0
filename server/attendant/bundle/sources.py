"""The manifest of encoder-decoders: what their encoder reads, and how an answer to it begins and ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from attendant.bundle.section import Section

SourceLayout = Literal["packed", "padded"]
SourcePart = Literal["language", "text", "eos"]


class TextSource(Section):
    """Tokens of a text, of at most ``max_length`` with the special tokens. Rows run packed or padded, with the inputs
    that :class:`attendant.bundle.EncoderManifest` documents for text. ``vocab_size``: ids that the encoder takes, from
    0 on; None: as many as the decoder."""

    kind: Literal["text"] = "text"
    max_length: int = Field(ge=1)
    layout: SourceLayout
    pad_id: int = 0
    position_offset: int = 0
    vocab_size: int | None = Field(default=None, ge=1)


class AudioSource(Section):
    """Windows of sound as log-mel spectrograms, as Whisper reads them (Radford et al. 2022, section 2.2).

    One channel at ``sampling_rate`` Hz, cut into windows of ``num_frames`` frames, a frame every ``hop_length`` samples
    of a Hann window of ``fft_length``; ``num_mel_bins`` triangular filters on Slaney's mel scale. The encoder takes
    input_features [num_rows, num_mel_bins, num_frames] float32 and gives ``max_length`` positions for each row.
    """

    kind: Literal["audio"] = "audio"
    max_length: int = Field(ge=1)
    sampling_rate: int = Field(default=16_000, ge=1)
    num_mel_bins: int = Field(default=80, ge=1)
    num_frames: int = Field(default=3_000, ge=1)
    fft_length: int = Field(default=400, ge=1)
    hop_length: int = Field(default=160, ge=1)


class Seq2SeqRules(Section):
    """How an answer begins, ends, and which tokens it may hold; from generation_config.json.

    Attributes:
        start: the tokens before the answer that are the same for all requests; the decoder's start token at least.
        forced_first: the token that every answer begins with unless the request says otherwise (a target language's).
        forced_last: the token that an answer ends with that reaches its limit.
        suppressed: tokens that never occur. suppressed_first: tokens that an answer does not begin with.
    """

    start: tuple[int, ...] = Field(min_length=1)
    forced_first: int | None = None
    forced_last: int | None = None
    suppressed: tuple[int, ...] = ()
    suppressed_first: tuple[int, ...] = ()


class Languages(Section):
    """Languages of a translator: a token for each, by its code in the model's own spelling (``fr_XX``, ``fra_Latn``).

    Attributes:
        tokens: token ids by code.
        source: what a source is made of, in order; without "language" the source's language is not told.
        target: where the target's language is told: as the answer's ``start`` token, as its ``forced_first`` token, or
            as the first token of the source.
        default_source, default_target: codes used where a request names none; without one it must.
    """

    tokens: Mapping[str, int]
    source: tuple[SourcePart, ...] = ("text", "eos")
    target: Literal["start", "first", "source"]
    default_source: str | None = None
    default_target: str | None = None


class Speech(Section):
    """The tokens that tell a speech model what to do and what it answers besides text.

    An answer's prompt: start_of_transcript, the language's token and the task's (multilingual models only), then
    no_timestamps if there shall be none; before it, after ``previous``, the text before this window.

    Attributes:
        languages: token ids by code (``en``); empty for a model of one language.
        tasks: token ids of "transcribe" and "translate".
        no_timestamps: stands for an answer without timestamps.
        first_timestamp: the token of second 0; those after it, to the end of the vocabulary, are
            ``seconds_per_timestamp`` apart.
        previous: begins the text before this window. no_speech: its probability after start_of_transcript tells
            silence.
        max_initial_timestamp: how far from the window's begin the first timestamp may be, in timestamps.
    """

    start_of_transcript: int
    languages: Mapping[str, int] = Field(default_factory=dict)
    tasks: Mapping[str, int] = Field(default_factory=dict)
    no_timestamps: int
    first_timestamp: int
    previous: int | None = None
    no_speech: int | None = None
    seconds_per_timestamp: float = 0.02
    max_initial_timestamp: int | None = None
