"""What an encoder-decoder is verified on: natural sources, and the model's own answers to them.

Answers of its own are what a translator or a transcriber writes; random tokens are a poor measure of a trained model.
Whether it is trained, its own answers do not tell: a random model of wide weights is sure of them. So that is told by
what the model makes of a right answer: the text that is spoken in the recording; for text, of a sentence in any of six
languages to itself or to the same sentence in English.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from attendant.bundle import AudioSource, Seq2SeqRules, TextSource
from tokenizers import Tokenizer

from attendant_export.encoders.text_tokens import encoded, natural_rows
from attendant_export.fidelity.distance import Ints
from attendant_export.fidelity.trained import is_trained
from attendant_export.samples import RATE, Name, recording, spoken_text
from attendant_export.seq2seq.encoder import Row
from attendant_export.seq2seq.features import features_of, window_samples
from attendant_export.seq2seq.reference import answer_logits, greedy_answer
from attendant_export.seq2seq.rules import seq2seq_rules
from attendant_export.seq2seq.source import Seq2SeqSource
from attendant_export.seq2seq.speech import speech_of
from attendant_export.texts import calibration_text, parallel_text

_TEXTS, _CALIBRATION_TEXTS = 8, 24  # sources
_TEXT_ANSWER, _SPEECH_ANSWER = 32, 96  # tokens of an answer


@dataclass(frozen=True)
class Material:
    """Sources and the model's answers to them.

    Attributes:
        rows: sources, as the encoder reads them.
        answers: tokens of each answer, [n] int64, with the ``leading`` ones that all of them begin with.
        trained: see the module's text.
    """

    rows: Sequence[Row]
    answers: Sequence[Ints]
    leading: int
    trained: bool

    def head(self, rows: int, tokens: int) -> Material:
        """The first rows alone, and the first tokens of their answers."""
        answers = [answer[: self.leading + tokens] for answer in self.answers[:rows]]
        return Material(self.rows[:rows], answers, self.leading, self.trained)


def natural_material(source: Seq2SeqSource, encoder_input: TextSource | AudioSource) -> Material | None:
    """What to verify with; None where the tokenizer or the recording does not fit the model."""
    rows = _rows(source, encoder_input, "verification")
    if not rows:
        return None
    leading = _leading(source, encoder_input)
    if isinstance(encoder_input, AudioSource):
        trained = _knows_speech(source, encoder_input, rows[0], leading)
    else:
        trained = _knows_text(source, encoder_input, seq2seq_rules(source.model), leading)
    return Material(rows, _answers(source, encoder_input, rows, leading), len(leading), trained)


def calibration_material(
    source: Seq2SeqSource, encoder_input: TextSource | AudioSource, text: str | None = None
) -> tuple[list[Row], list[Ints]]:
    """Sources and the model's answers to quantise by: of ``text`` or the exporter's own, or of the recording; sources
    of random tokens and random answers where those do not fit the model."""
    rows = _rows(source, encoder_input, "calibration", text)
    if rows:
        return rows, _answers(source, encoder_input, rows, _leading(source, encoder_input))
    rows = source.sample_rows(encoder_input)
    width = source.model.get_output_embeddings().weight.shape[0]
    length = min(_TEXT_ANSWER, source.context_length())
    return rows, list(np.random.default_rng(2).integers(0, width, (len(rows), length)))


def _rows(
    source: Seq2SeqSource, encoder_input: TextSource | AudioSource, name: Name, text: str | None = None
) -> list[Row]:
    if isinstance(encoder_input, AudioSource):
        return _speech(encoder_input, name)
    text = text or calibration_text() if name == "calibration" else None
    found = natural_rows(source.model, encoder_input.max_length, source.tokenizer_json, text)
    return list(found[: _CALIBRATION_TEXTS if name == "calibration" else _TEXTS])


def _leading(source: Seq2SeqSource, encoder_input: TextSource | AudioSource) -> list[int]:
    """The tokens that all answers begin with."""
    if isinstance(encoder_input, AudioSource):
        return _speech_start(source)
    rules = seq2seq_rules(source.model)
    return [*rules.start, *([rules.forced_first] if rules.forced_first is not None else [])]


def _answers(
    source: Seq2SeqSource, encoder_input: TextSource | AudioSource, rows: Sequence[Row], leading: Sequence[int]
) -> list[Ints]:
    audio = isinstance(encoder_input, AudioSource)
    steps = min(_SPEECH_ANSWER if audio else _TEXT_ANSWER, source.context_length() - len(leading))
    rules = seq2seq_rules(source.model)
    return [greedy_answer(source.model, audio, row, leading, rules, steps) for row in rows]


def _speech(source: AudioSource, name: Name) -> list[Row]:
    """The recording, and both halves of it."""
    if source.sampling_rate != RATE:
        return []
    samples = recording(name)
    middle = len(samples) // 2
    return [features_of(source, part) for part in (samples, samples[:middle], samples[middle:])]


def _speech_start(source: Seq2SeqSource) -> list[int]:
    speech = speech_of(source.model, source.tokens)
    more = [tokens[name] for tokens, name in ((speech.languages, "en"), (speech.tasks, "transcribe")) if name in tokens]
    return [speech.start_of_transcript, *more, speech.no_timestamps]


def _knows_speech(source: Seq2SeqSource, encoder_input: AudioSource, row: Row, leading: Sequence[int]) -> bool:
    if window_samples(encoder_input) < len(recording("verification")):
        return False
    text = f" {spoken_text('verification')}"
    ids = Tokenizer.from_str(source.tokenizer_json).encode(text, add_special_tokens=False).ids
    ids = ids[: source.context_length() - len(leading)]
    nll, targets, width = _loss(source.model, True, row, leading, ids)
    return is_trained(nll, targets, width)


def _knows_text(source: Seq2SeqSource, encoder_input: TextSource, rules: Seq2SeqRules, leading: Sequence[int]) -> bool:
    tokenizer = Tokenizer.from_str(source.tokenizer_json)
    width = source.model.get_output_embeddings().weight.shape[0]
    texts = parallel_text()
    pairs = [(texts["en"], text) for text in texts.values()] + [(text, texts["en"]) for text in texts.values()]
    for asked, answer in dict.fromkeys(pairs):
        row = np.array(encoded(tokenizer, asked, encoder_input.max_length), np.int64)
        tokenizer.no_truncation()
        ids = tokenizer.encode(answer, add_special_tokens=False).ids[: source.context_length() - len(leading)]
        if not len(row) or len(ids) < 2 or max(row.max(), *ids) >= width:
            continue
        nll, targets, _ = _loss(source.model, False, row, leading, ids)
        if is_trained(nll, targets, width):
            return True
    return False


def _loss(model: Any, audio: bool, row: Row, leading: Sequence[int], ids: Sequence[int]) -> tuple[float, Ints, int]:
    """Nats a token that an answer costs, its tokens [n], and the size of the vocabulary."""
    answer = np.array([*leading, *ids], np.int64)
    logits = answer_logits(model, audio, row, answer)[len(leading) - 1 : -1]
    targets = answer[len(leading) :]
    nll = torch.nn.functional.cross_entropy(torch.from_numpy(logits).double(), torch.from_numpy(targets))
    return float(nll), targets, logits.shape[-1]
