"""Spoken sentences through a real server: fp32 hears them as torch does, int8 as fp32 does, clean and with noise."""

from __future__ import annotations

import csv
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from attendant_export.recipe import ENCODER_PRECISIONS
from attendant_proto.v1 import speech_pb2, speech_pb2_grpc

from tests.real.conftest import Made, ServerOf

SPEECH = Path(__file__).parent / "speech"
RATE = 16_000
NOISE_DB = -30.0  # of the speech's own power
LEAST_SAME = 15  # of 20: fp32 mishears words of these synthetic voices, and where it wavers, others may fall otherwise
NEAR_TIE = 0.5  # nats between what fp32 says and what another precision says, where they part
LEAST_WORDS_RIGHT = 0.8

Floats = npt.NDArray[np.float32]


def sentences() -> list[dict[str, str]]:
    """Files and what is said in them."""
    with (SPEECH / "sentences.tsv").open() as file:
        return list(csv.DictReader(file, delimiter="\t"))


def recordings(noisy: bool) -> list[Floats]:
    """Each [num_samples] float32 at 16 kHz; noise is white, and always the same."""
    found = []
    for index, row in enumerate(sentences()):
        samples, rate = soundfile.read(SPEECH / row["file"], dtype="float32")
        assert rate == RATE
        if noisy:
            level = np.sqrt(np.mean(samples**2)) * 10 ** (NOISE_DB / 20)
            samples += level * np.random.default_rng(index).standard_normal(len(samples), np.float32)
        found.append(samples)
    return found


@pytest.fixture(scope="module")
def heard(whisper_bundle: Made, server_of: ServerOf) -> Any:
    """The texts of all recordings in a precision, by (precision, noisy)."""

    @cache
    def texts(precision: str, noisy: bool) -> list[str]:
        with server_of(whisper_bundle(precision)) as server, ThreadPoolExecutor(4) as pool:
            stub = speech_pb2_grpc.SpeechStub(server.channel)

            def transcribe(samples: Floats) -> str:
                pcm = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
                raw = speech_pb2.RawAudio(pcm16=pcm, sampling_rate=RATE)
                return str(stub.Transcribe(speech_pb2.SpeechRequest(raw=raw), timeout=120).text)

            return list(pool.map(transcribe, recordings(noisy)))

    return texts


def words(text: str) -> list[str]:
    """In lower case, without punctuation."""
    return "".join(letter for letter in text.lower() if letter.isalnum() or letter == " ").split()


def test_fp32_hears_what_was_said(heard: Any) -> None:
    said = [words(row["text"]) for row in sentences()]
    understood = [words(text) for text in heard("fp32", False)]
    right = sum(len(set(one) & set(other)) for one, other in zip(said, understood, strict=True))
    assert right / sum(len(set(one)) for one in said) >= LEAST_WORDS_RIGHT


def test_fp32_says_what_torch_says(heard: Any, whisper: Path) -> None:
    import torch
    from transformers import AutoTokenizer, WhisperFeatureExtractor, WhisperForConditionalGeneration

    model = WhisperForConditionalGeneration.from_pretrained(whisper, dtype=torch.float32).eval()
    features, tokenizer = WhisperFeatureExtractor.from_pretrained(whisper), AutoTokenizer.from_pretrained(whisper)
    read = features(recordings(False)[:4], sampling_rate=RATE, return_tensors="pt").input_features
    texts = tokenizer.batch_decode(model.generate(read, max_new_tokens=60), skip_special_tokens=True)
    assert [text.strip() for text in texts] == [text.strip() for text in heard("fp32", False)[:4]]


class Judge:
    """Says by how much the model in float32 prefers one text to another where they part."""

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoTokenizer, WhisperFeatureExtractor, WhisperForConditionalGeneration

        self._model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
        self._features = WhisperFeatureExtractor.from_pretrained(folder)
        self._tokenizer = AutoTokenizer.from_pretrained(folder)

    def gap(self, samples: Floats, one: str, other: str) -> float:
        """Log-probability of the token with which ``one`` goes on, less that of ``other``'s; in nats."""
        import torch

        texts = [self._tokenizer(" " + text.strip()).input_ids for text in (one, other)]  # between start and end
        parting = next(index for index, (a, b) in enumerate(zip(*texts, strict=False)) if a != b)
        features = self._features(samples, sampling_rate=RATE, return_tensors="pt").input_features
        with torch.no_grad():
            logits = self._model(features, decoder_input_ids=torch.tensor([texts[0][:parting]])).logits[0, -1]
        return float(logits[texts[0][parting]] - logits[texts[1][parting]])


@pytest.fixture(scope="module")
def judge(whisper: Path) -> Judge:
    return Judge(whisper)


@pytest.mark.parametrize("noisy", [False, True], ids=["clean", "noisy"])
@pytest.mark.parametrize("precision", [name for name in ENCODER_PRECISIONS["cpu"] if name != "fp32"])
def test_other_precisions_hear_what_fp32_hears_but_for_near_ties(
    heard: Any, judge: Judge, precision: str, noisy: bool
) -> None:
    pairs = list(zip(heard("fp32", noisy), heard(precision, noisy), strict=True))
    different = [(number, *pair) for number, pair in enumerate(pairs) if words(pair[0]) != words(pair[1])]
    assert len(pairs) - len(different) >= LEAST_SAME, different
    samples = recordings(noisy)
    gaps = {other: judge.gap(samples[number], ours, other) for number, ours, other in different}
    assert all(gap <= NEAR_TIE for gap in gaps.values()), gaps
