"""Speech models: what they take and how their frames spell text, and bundles that compute what torch computes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
import transformers
from attendant.bundle import EncoderManifest, verify_files
from attendant.tasks.audio import raw_values
from attendant.tasks.ctc import transcribe
from attendant_export.encoders.audio import plan_speech
from attendant_export.encoders.audio_input import audio_input, ctc_head
from attendant_export.encoders.export import encoder_graph
from attendant_export.errors import UnsupportedModel
from attendant_export.export import export_bundle
from attendant_export.recipe import Recipe

from tests.export.sound_families import WAVES

VOCABULARY = ("<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLU'")
SMALL: dict[str, Any] = {**WAVES, "num_hidden_layers": 1, "vocab_size": len(VOCABULARY), "pad_token_id": 0}
STABLE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
# Class, class of the config, its fields, number of fused attention nodes.
FAMILIES: dict[str, tuple[str, str, dict[str, Any], int]] = {
    "wav2vec2": ("Wav2Vec2ForCTC", "Wav2Vec2Config", SMALL, 1),
    "wav2vec2 stable": ("Wav2Vec2ForCTC", "Wav2Vec2Config", {**SMALL, **STABLE}, 1),
    "hubert": ("HubertForCTC", "HubertConfig", SMALL, 1),
    "sew": ("SEWForCTC", "SEWConfig", {**SMALL, "squeeze_factor": 2}, 1),
}


def random_model(name: str) -> Any:
    kind, config_kind, fields, _ = FAMILIES[name]
    torch.manual_seed(0)
    model = getattr(transformers, kind)(
        getattr(transformers, config_kind)(**fields, attn_implementation="eager")
    ).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.05)
    return model


def make_tokenizer(folder: Path, **options: Any) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "vocab.json"
    file.write_text(json.dumps({token: index for index, token in enumerate(VOCABULARY)}), encoding="utf-8")
    return transformers.Wav2Vec2CTCTokenizer(str(file), **options)


def make_folder(name: str, folder: Path) -> Any:
    """A model folder with its processor; returns the model."""
    model = random_model(name)
    model.save_pretrained(folder)
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    transformers.Wav2Vec2Processor(extractor, make_tokenizer(folder / "tokens")).save_pretrained(folder)
    return model


@pytest.mark.parametrize("name", FAMILIES)
def test_a_bundle_hears_what_torch_hears(name: str, tmp_path: Path) -> None:
    model = make_folder(name, tmp_path / "model")
    manifest = export_bundle(tmp_path / "model", tmp_path / "bundle")
    assert isinstance(manifest, EncoderManifest)
    verify_files(tmp_path / "bundle", manifest)
    assert (manifest.task, manifest.layout) == ("transcribe", "equal")
    assert manifest.parity.max_abs_error < 1e-4
    graph = manifest.graphs["encoder"]
    assert [(spec.name, spec.shape) for spec in graph.inputs] == [("input_values", ("num_rows", "num_samples"))]
    assert [(spec.name, spec.shape[-1]) for spec in graph.outputs] == [("logits", len(VOCABULARY))]
    path = tmp_path / "bundle" / graph.file
    assert Counter(node.op_type for node in ir.load(path).graph)["MultiHeadAttention"] == FAMILIES[name][3]

    # From raw sound to text, beside transformers' own way.
    sound = np.random.default_rng(3).uniform(-0.5, 0.5, 3210).astype(np.float32)
    assert manifest.ctc is not None
    values = raw_values(sound.tobytes(), 16_000, manifest.input, "samples", "sampling_rate")  # type: ignore[arg-type]
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = transcribe(session.run(None, {"input_values": values[None]})[0][0], manifest.ctc, 16_000)
    processor = transformers.Wav2Vec2Processor.from_pretrained(tmp_path / "model")
    with torch.no_grad():
        logits = model(**processor(sound, sampling_rate=16_000, return_tensors="pt")).logits
    wanted = processor.decode(logits[0].argmax(-1), output_word_offsets=True)
    assert found.text == wanted.text
    seconds = manifest.ctc.samples_per_frame / 16_000
    starts = [word["start_offset"] * seconds for word in wanted.word_offsets]
    assert [word.start_s for word in found.words] == pytest.approx(starts)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Any:
    tokenizer = make_tokenizer(tmp_path_factory.mktemp("tokens"))
    return plan_speech(random_model("wav2vec2"), transformers.Wav2Vec2FeatureExtractor(), tokenizer)


def test_the_shortest_row_has_one_frame_and_rows_that_run_together_are_those_alone(plan: Any, tmp_path: Path) -> None:
    assert plan.input.min_samples == 45  # 8 outputs of the first convolution, of 10 samples each, 5 apart
    assert plan.ctc.samples_per_frame == 20
    ir.save(encoder_graph(plan, Recipe(precision="int8"))[0], tmp_path / "encoder.onnx")
    session = ort.InferenceSession(str(tmp_path / "encoder.onnx"), providers=["CPUExecutionProvider"])
    rows = np.random.default_rng(0).standard_normal((4, 500)).astype(np.float32)
    assert session.run(None, {"input_values": rows[:1, :45]})[0].shape == (1, 1, len(VOCABULARY))
    together = session.run(None, {"input_values": rows})[0]
    for index in range(len(rows)):
        alone = session.run(None, {"input_values": rows[index : index + 1]})[0]
        assert np.abs(alone[0] - together[index]).max() < 1e-4


def test_a_tokenizer_that_lowers_letters_has_a_vocabulary_of_lower_letters(tmp_path: Path) -> None:
    config = random_model("hubert").config
    plain, low = (ctc_head(make_tokenizer(tmp_path, do_lower_case=lower), config) for lower in (False, True))
    assert plain.vocabulary == VOCABULARY
    assert low.vocabulary == tuple(token.lower() for token in VOCABULARY)
    assert (plain.blank_id, plain.word_delimiter, plain.samples_per_frame) == (0, "|", 20)


def test_what_a_bundle_has_no_place_for_is_refused(tmp_path: Path) -> None:
    config = random_model("hubert").config
    with pytest.raises(UnsupportedModel, match="its feature extractor is WhisperFeatureExtractor"):
        audio_input(transformers.WhisperFeatureExtractor(), config)
    with pytest.raises(UnsupportedModel, match="makes words in a way of its own"):
        ctc_head(make_tokenizer(tmp_path, replace_word_delimiter_char="_"), config)
    config.add_adapter = True
    with pytest.raises(UnsupportedModel, match="an adapter"):
        ctc_head(make_tokenizer(tmp_path), config)
