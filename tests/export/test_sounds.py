"""Models that label recordings: bundles that hear what torch hears, from raw sound to labels."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
import transformers
from attendant.bundle import AudioInput, EncoderManifest, SpectrumInput, verify_files
from attendant.tasks.audio import raw_values
from attendant.tasks.spectra import spectra_of
from attendant_export.attention.existing import add_attention
from attendant_export.encoders.audio_input import audio_input, spectrum_input
from attendant_export.encoders.sounds import plan_labels
from attendant_export.encoders.tasks import allowed_tasks
from attendant_export.errors import AttentionError, UnsupportedModel
from attendant_export.export import export_bundle

from tests.export import encoders_doc
from tests.export.equal_rows_measure import make_sound_plan, measure_equal_rows
from tests.export.sound_families import make_extractor, make_sound_model

LABELS = ("cat", "dog", "newt", "owl")


@pytest.mark.parametrize(("name", "head"), encoders_doc.names_of_sounds())
def test_recordings_run_together_as_documented(name: str, head: str) -> None:
    found, documented = measure_equal_rows(make_sound_plan(name)), encoders_doc.read()[name, head]
    assert found.error <= documented.error_below
    assert (found.layout, found.attention, found.nodes) == ("equal", *documented.counts)
    assert found.exact
    assert documented.exact


def features(sound: Any, spec: AudioInput | SpectrumInput) -> dict[str, Any]:
    """The inputs of a graph for samples at 16 kHz, as the server makes them."""
    values = raw_values(sound.tobytes(), 16_000, spec, "samples", "sampling_rate", truncate=True)
    if isinstance(spec, AudioInput):
        return {"input_values": values[None]}
    return {"input_features": spectra_of(spec)(values)[None]}


@pytest.mark.parametrize("name", ["wav2vec2", "ast", "whisper"])
@pytest.mark.parametrize("seconds", [0.2, 1.3])
def test_a_bundle_hears_what_transformers_hears(name: str, seconds: float, tmp_path: Path) -> None:
    """From raw sound, which is too long for two of them where it has 1.3 s."""
    model, extractor = make_sound_model(name), make_extractor(name)
    model.save_pretrained(tmp_path / "model")
    extractor.save_pretrained(tmp_path / "model")
    manifest = export_bundle(tmp_path / "model", tmp_path / "bundle")
    assert isinstance(manifest, EncoderManifest)
    verify_files(tmp_path / "bundle", manifest)
    assert (manifest.task, manifest.layout, manifest.labels) == ("classify_audio", "equal", LABELS)
    assert manifest.parity.max_abs_error < 1e-4
    path = tmp_path / "bundle" / manifest.graphs["encoder"].file
    assert Counter(node.op_type for node in ir.load(path).graph)["MultiHeadAttention"] == 2

    sound = np.random.default_rng(3).uniform(-0.5, 0.5, int(seconds * 16_000)).astype(np.float32)
    assert isinstance(manifest.input, AudioInput | SpectrumInput)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(None, features(sound, manifest.input))[0][0]
    with torch.no_grad():
        wanted = model(**extractor(sound, sampling_rate=16_000, return_tensors="pt")).logits[0].numpy()
    assert np.abs(found - wanted).max() < 1e-4


def test_attention_that_nothing_looks_at_is_refused_and_not_left_out_in_silence(tmp_path: Path) -> None:
    make_sound_model("ast").save_pretrained(tmp_path / "model")
    make_extractor("ast").save_pretrained(tmp_path / "model")
    with pytest.raises(AttentionError, match=r"cannot give its attention.*allowed: auto, none"):
        export_bundle(tmp_path / "model", tmp_path / "bundle", attention="eager")
    told: list[str] = []
    export_bundle(tmp_path / "model", tmp_path / "bundle", tell=told.append)
    assert any(line.startswith("no attention: ") for line in told)
    with pytest.raises(AttentionError, match="models that read spectrum do not give attention"):
        add_attention(tmp_path / "bundle")


def test_heads_of_texts_and_of_sounds_are_told_apart() -> None:
    heads = {"architectures": ["Wav2Vec2ForSequenceClassification"], "model_type": "wav2vec2"}
    assert allowed_tasks(heads, is_sentence_model=False) == ("classify_audio",)
    assert allowed_tasks({**heads, "model_type": "bert"}, is_sentence_model=False)[0] == "classify"
    ast = {"architectures": ["ASTForAudioClassification"], "model_type": "audio-spectrogram-transformer"}
    assert allowed_tasks(ast, is_sentence_model=False) == ("classify_audio",)


def test_what_a_bundle_has_no_place_for_is_refused() -> None:
    model = make_sound_model("wav2vec2")
    with pytest.raises(UnsupportedModel, match="its feature extractor is SeamlessM4TFeatureExtractor"):
        plan_labels(model, transformers.SeamlessM4TFeatureExtractor())
    with pytest.raises(UnsupportedModel, match="its feature extractor is ASTFeatureExtractor"):
        audio_input(make_extractor("ast"), model.config)
    relative = make_sound_model("wav2vec2_conformer").config
    relative.max_source_positions = 100  # frames of 20 samples, the first one of 45
    assert audio_input(make_extractor("wav2vec2"), relative).max_samples == 45 + 99 * 20
    with pytest.raises(UnsupportedModel, match="normalises samples or adds noise"):
        spectrum_input(transformers.WhisperFeatureExtractor(dither=1.0), make_sound_model("whisper").config)
