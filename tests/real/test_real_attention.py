"""What trained models look at: within 1e-5 of torch in float32, also where a sequence is cut into chunks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from attendant.bundle import read_any_manifest
from attendant.core.attention import AttentionSubject
from attendant.core.source import Source

from tests.export.test_attention import plain, seen_by, tensors, worst

TEXT = "The animal didn't cross the street because it was tired. " * 8
EAGER: dict[str, Any] = {"dtype": torch.float32, "attn_implementation": "eager"}
LIMIT = 1e-5


def known_error(bundle: Path) -> float:
    given = read_any_manifest(bundle).attention
    assert given is not None
    assert given.origin == "fused"
    assert given.max_abs_error is not None
    return given.max_abs_error


def ids_of(folder: Path, text: str) -> np.ndarray:
    return np.array(transformers.AutoTokenizer.from_pretrained(folder)(text)["input_ids"])


def test_smollm2(smollm2: Path, fp32_bundle: Any) -> None:
    bundle, ids = fp32_bundle(smollm2.name), ids_of(smollm2, TEXT)
    model = transformers.AutoModelForCausalLM.from_pretrained(smollm2, **EAGER).eval()
    with torch.no_grad():
        output = model(**tensors(input_ids=ids), output_attentions=True)

    weights, _ = seen_by(bundle, AttentionSubject({"input_ids": ids}))

    assert len(ids) > 64
    assert known_error(bundle) <= LIMIT
    assert worst(weights["self"], plain(output.attentions)) <= LIMIT


def test_minilm(minilm: Path, fp32_bundle: Any) -> None:
    bundle, ids = fp32_bundle(minilm.name), ids_of(minilm, TEXT)
    model = transformers.AutoModel.from_pretrained(minilm, **EAGER).eval()
    with torch.no_grad():
        output = model(**tensors(input_ids=ids), output_attentions=True)

    weights, hidden = seen_by(bundle, AttentionSubject({"input_ids": ids}))

    assert known_error(bundle) <= LIMIT
    assert worst(weights["self"], plain(output.attentions)) <= LIMIT
    np.testing.assert_allclose(hidden, output.last_hidden_state[0].numpy(), atol=1e-4)


def test_whisper(whisper: Path, fp32_bundle: Any) -> None:
    bundle = fp32_bundle(whisper.name)
    rng = np.random.default_rng(0)
    features = (0.4 * rng.standard_normal((80, 3000))).astype(np.float32)
    ids = np.concatenate([[50257, 50362], rng.integers(200, 40_000, 100)])
    model = transformers.AutoModelForSpeechSeq2Seq.from_pretrained(whisper, **EAGER).eval()
    with torch.no_grad():
        output = model(
            **tensors(input_features=features, decoder_input_ids=ids), use_cache=False, output_attentions=True
        )

    source = Source({"input_features": features}, 1500)
    weights, _ = seen_by(bundle, AttentionSubject({"input_ids": ids}, source))

    assert known_error(bundle) <= 2 * LIMIT  # over random tokens, whose scores lie far apart
    assert worst(weights["encoder"], plain(output.encoder_attentions)) <= LIMIT
    assert worst(weights["self"], plain(output.decoder_attentions)) <= LIMIT
    assert worst(weights["cross"], plain(output.cross_attentions)) <= LIMIT
