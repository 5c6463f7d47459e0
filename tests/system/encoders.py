"""Bundles of tiny encoders for tests of real servers."""

from __future__ import annotations

import io
import wave
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from attendant.bundle import EmbeddingHead
from attendant_proto.v1 import encoding_pb2 as pb
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from tests.synthetic_encoder import make_audio_encoder, make_image_encoder, make_sound_encoder, make_text_encoder

BOS, END, MASK = "<|bos|>", "<|end|>", "<|system|>"
MAX_TOKENS = 64
FLAGS = ("--no-verify-bundles", "--encoder.threads", 1, "--no-encoder.spinning")


def make_encoders(folder: Path) -> Path:
    """A folder with a bundle for each task. Every text gets a token before it and one behind."""
    vectors = EmbeddingHead(pooling="mean", dimensions=4, normalise=True)
    bundles = [
        make_text_encoder(folder / "moods", "classify", max_tokens=MAX_TOKENS),
        make_text_encoder(folder / "ranks", "rerank", "padded", labels=("fits",), max_tokens=MAX_TOKENS),
        make_text_encoder(folder / "tags", "classify_tokens", labels=("O", "B-X", "I-X"), max_tokens=MAX_TOKENS),
        make_text_encoder(folder / "answers", "answer", max_tokens=MAX_TOKENS),
        make_text_encoder(folder / "masks", "fill_mask", max_tokens=MAX_TOKENS),
        make_text_encoder(folder / "vectors", "embed", embedding=vectors, max_tokens=MAX_TOKENS),
    ]
    for bundle in bundles:
        add_special_tokens(bundle / "tokenizer.json")
    make_image_encoder(folder / "images")
    make_image_encoder(folder / "pictures", "embed_image")
    make_audio_encoder(folder / "words")
    make_sound_encoder(folder / "sounds")
    return folder


def png(colour: tuple[int, int, int], size: tuple[int, int] = (6, 4)) -> bytes:
    """An image file of one colour."""
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, "PNG")
    return stream.getvalue()


def wav(samples: np.ndarray) -> bytes:
    """A sound file of samples in -1..1, at 16 kHz."""
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return stream.getvalue()


def texts(*values: str) -> list[pb.TextInput]:
    """Inputs of plain texts."""
    return [pb.TextInput(text=value) for value in values]


def failure(call: Any, message: Any) -> tuple[grpc.StatusCode, str, str]:
    """Code, field and words of a call's error."""
    with pytest.raises(grpc.RpcError) as caught:
        call(message, timeout=300)
    bad = error_details_pb2.BadRequest()
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
    fields = [v.field for d in status.details if d.Unpack(bad) for v in bad.field_violations] if status else []
    return caught.value.code(), "".join(fields), caught.value.details()


def add_special_tokens(file: Path) -> None:
    """Have a tokenizer put a token before every text, and one behind."""
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.post_processor = TemplateProcessing(
        single=f"{BOS} $A {END}",
        pair=f"{BOS} $A {END} $B:1 {END}:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (BOS, END)],
    )
    tokenizer.save(str(file))
