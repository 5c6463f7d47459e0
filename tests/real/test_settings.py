"""Trained models with settings of checkpoints against transformers, and speech in files of many kinds."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import soundfile
from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import speech_pb2, speech_pb2_grpc

from tests.real.conftest import Made, ServerOf, _made
from tests.real.test_speech_text import SPEECH, sentences, words

PROMPT, NUM_TOKENS = "Once upon a time, there was a little girl who", 24
NEAR = 0.8  # of the words: MP3, Opus and G.711 are lossy
SETTINGS: dict[str, tuple[dict[str, Any], pb.Sampling]] = {
    "none": ({}, pb.Sampling()),
    "ngrams and penalty": (
        {"no_repeat_ngram_size": 2, "repetition_penalty": 1.2},
        pb.Sampling(no_repeat_ngram_size=2, repetition_penalty=1.2),
    ),
    "ngrams of the prompt": ({"encoder_no_repeat_ngram_size": 1}, pb.Sampling(encoder_no_repeat_ngram_size=1)),
    "decay": (
        {"exponential_decay_length_penalty": (4, 1.4)},
        pb.Sampling(length_decay=pb.LengthDecay(start=4, factor=1.4)),
    ),
}


@pytest.fixture(scope="module")
def answers(smollm2: Path, server_of: ServerOf) -> dict[str, tuple[list[int], list[int]]]:
    """By settings: what ``generate`` says, and what a server does."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    model = AutoModelForCausalLM.from_pretrained(smollm2, dtype=torch.float32).eval()
    given = tokenizer(PROMPT, return_tensors="pt")
    ids = given.input_ids[0].tolist()
    found = {}
    with server_of(_made(smollm2.name, "--bundle", "fp32")) as server:
        for name, (settings, sampling) in SETTINGS.items():
            wanted = model.generate(**given, max_new_tokens=NUM_TOKENS, do_sample=False, **settings)[0, len(ids) :]
            request = pb.GenerateRequest(
                token_ids=pb.TokenIds(ids=ids), sampling=sampling, stopping=pb.Stopping(max_tokens=NUM_TOKENS)
            )
            parts = server.generation.Generate(request, timeout=60)
            found[name] = (wanted.tolist(), [token for part in parts for token in part.token_ids])
        ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    return {name: ([token for token in wanted if token not in ends], got) for name, (wanted, got) in found.items()}


@pytest.mark.parametrize("name", SETTINGS)
def test_smollm2_answers_as_generate_does(answers: dict[str, tuple[list[int], list[int]]], name: str) -> None:
    wanted, got = answers[name]
    assert got == wanted


def test_whisper_hears_files_of_any_kind(whisper_bundle: Made, server_of: ServerOf) -> None:
    samples, rate = soundfile.read(SPEECH / sentences()[0]["file"], dtype="float32")

    def file(kind: str, subtype: str | None = None) -> bytes:
        made = io.BytesIO()
        soundfile.write(made, samples, rate, format=kind, subtype=subtype)
        return made.getvalue()

    with server_of(whisper_bundle("fp32")) as server:
        stub = speech_pb2_grpc.SpeechStub(server.channel)

        def heard(data: bytes) -> Any:
            return stub.Transcribe(speech_pb2.SpeechRequest(file=data), timeout=120)

        plain = heard(file("WAV"))
        for kind in ("FLAC", "W64", "RF64", "AIFF"):
            assert (heard(file(kind)).text, heard(file(kind)).duration_s) == (plain.text, plain.duration_s)
        for kind, subtype in (("OGG", "OPUS"), ("OGG", "VORBIS"), ("MP3", None), ("WAV", "ULAW"), ("WAV", "ALAW")):
            response = heard(file(kind, subtype))
            same = set(words(response.text)) & set(words(plain.text))
            assert len(same) >= NEAR * len(set(words(plain.text))), kind
            assert not response.warnings
        cut = heard(file("WAV")[: len(file("WAV")) * 2 // 3])
        assert words(plain.text)[:2] == words(cut.text)[:2]
        assert "bytes of sound" in cut.warnings[0]
