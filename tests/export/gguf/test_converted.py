"""What llama.cpp's own converter wrote is the model, and has the words, that it converted (``converted/README.md``)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from attendant_export.decoders.source import load_decoder
from attendant_export.source.gguf.families import FAMILIES
from attendant_export.source.gguf.file import open_gguf
from attendant_export.source.resolving import resolve
from attendant_export.words import read_words
from tokenizers import Tokenizer

from tests.export.gguf.converted.by_convert_hf_to_gguf import PHI_TURN, SAMPLES, SETTINGS, STEP, TEXTS, TOKENS


@pytest.mark.parametrize("name", SETTINGS)
def test_a_converted_model_answers_as_the_original(name: str) -> None:
    model = load_decoder(resolve(str(SAMPLES / f"{name}.gguf"))).model
    with torch.no_grad():
        found = model(torch.tensor([TOKENS]), use_cache=False).logits[0, ::STEP].numpy()
    with np.load(SAMPLES / f"{name}.npz") as original:
        np.testing.assert_allclose(found, original["logits"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SETTINGS)
def test_converted_words_are_the_originals(name: str) -> None:
    tokenizer = Tokenizer.from_str(read_words(resolve(str(SAMPLES / f"{name}.gguf"))).tokenizer_json)
    texts = (*TEXTS, PHI_TURN) if name.startswith("phi3") else TEXTS
    with np.load(SAMPLES / f"{name}.npz") as original:
        wanted = np.split(original["tokens"], np.cumsum(original["lengths"])[:-1])
    for text, ids in zip(texts, wanted, strict=True):
        assert tokenizer.encode(text, add_special_tokens=False).ids == ids.tolist(), text


def test_there_is_a_sample_of_every_architecture_that_the_converter_writes() -> None:
    found = {open_gguf(SAMPLES / f"{name}.gguf").architecture for name in SETTINGS}
    assert found == FAMILIES.keys() - {"mistral"}  # of which the converter writes llama
