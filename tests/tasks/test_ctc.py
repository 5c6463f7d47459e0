"""Greedy CTC decoding: text and timed words as transformers' tokenizer has them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from attendant.bundle import CtcHead
from attendant.tasks.ctc import Transcript, transcribe

VOCABULARY = ("<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLU'")
HEAD = CtcHead(vocabulary=VOCABULARY, blank_id=0, samples_per_frame=320)
RATE = 16_000


def logits_of(*tokens: str) -> np.ndarray:
    """[num_frames, vocab_size] float32 whose likeliest tokens are ``tokens``."""
    logits = np.random.default_rng(0).standard_normal((len(tokens), len(VOCABULARY))).astype(np.float32)
    for frame, token in enumerate(tokens):
        logits[frame, VOCABULARY.index(token)] = 9
    return logits


def test_repetitions_blanks_and_delimiters() -> None:
    blank = "<pad>"
    frames = [blank, "H", "H", "E", blank, "L", blank, "L", "L", "O", "|", "|", blank, "I", "T", "|"]
    found = transcribe(logits_of(*frames), HEAD, RATE)
    assert found.text == "HELLO IT"
    assert [(word.text, word.start_s, word.end_s) for word in found.words] == [
        ("HELLO", pytest.approx(0.02), pytest.approx(0.20)),
        ("IT", pytest.approx(0.26), pytest.approx(0.30)),
    ]


def test_nothing_said() -> None:
    assert transcribe(logits_of("<pad>", "<pad>"), HEAD, RATE) == Transcript("", ())
    assert transcribe(logits_of("|", "|"), HEAD, RATE) == Transcript("", ())
    assert transcribe(np.zeros((0, len(VOCABULARY)), np.float32), HEAD, RATE) == Transcript("", ())


@pytest.mark.parametrize("seed", range(20))
def test_it_is_what_transformers_makes(seed: int, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    (tmp_path / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(VOCABULARY)}))
    tokenizer = transformers.Wav2Vec2CTCTokenizer(str(tmp_path / "vocab.json"))
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((200, len(VOCABULARY))).astype(np.float32)
    logits[:, 0] += 1
    logits[:, 4] += 1
    logits = np.repeat(logits, rng.integers(1, 4, len(logits)), axis=0)
    wanted = tokenizer.decode(logits.argmax(-1), output_word_offsets=True)
    found = transcribe(logits, HEAD, RATE)
    assert found.text == wanted.text
    offsets = [(word["word"], word["start_offset"] * 0.02, word["end_offset"] * 0.02) for word in wanted.word_offsets]
    assert [word.text for word in found.words] == [text for text, _, _ in offsets]
    assert np.allclose([(word.start_s, word.end_s) for word in found.words], [times for _, *times in offsets])
