"""Judges models of sound: what the server makes of samples and the bundle of that, beside transformers' own way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from attendant.bundle import AudioInput, EncoderManifest, SpectrumInput
from attendant.tasks.audio import raw_values
from attendant.tasks.spectra import spectra_of
from attendant_export.export import export_bundle

from tests.export.census import making
from tests.export.census.outcome import Judged, spread_error

_RATE = 16_000
_SAMPLES = 2_410  # fewer than 128 frames, the positions of a small config
_WAVES: dict[str, Any] = {
    **{"conv_dim": (32, 32), "conv_stride": (5, 4), "conv_kernel": (10, 8), "num_feat_extract_layers": 2},
    **{"num_conv_pos_embeddings": 5, "num_conv_pos_embedding_groups": 4, "classifier_proj_size": 32},
}
_TOKENS = ("<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLU'")


def judge(model_type: str, class_name: str, folder: Path) -> Judged:
    """Exports a small model of the class with the feature extractor of its type, and compares.

    Raises:
        NotTried: no model could be made. ExportError: refused. Wrong: the bundle answers otherwise.
    """
    import transformers

    source, spells = folder / "model", class_name.endswith("ForCTC")
    fields = getattr(transformers.CONFIG_MAPPING[model_type], "__dataclass_fields__", {})
    more: dict[str, Any] = {name: value for name, value in _WAVES.items() if name in fields}
    if "conv_kernel" not in fields:
        more = {}
    if model_type == "whisper":
        more = {"max_source_positions": 50}
    if model_type == "audio-spectrogram-transformer":
        more = {"max_length": 40, "num_mel_bins": 24}
    more |= {"vocab_size": len(_TOKENS), "pad_token_id": 0} if spells else {"num_labels": 4}
    making.save(making.make_model(model_type, class_name, **more), source)
    model = making.loaded(class_name, source)
    extractor = feature_extractor(model.config)
    extractor.save_pretrained(source)
    if spells:
        _write_tokens(source)
    manifest = export_bundle(source, folder / "bundle", task="transcribe" if spells else "classify_audio")
    assert isinstance(manifest, EncoderManifest)
    return _compare(model, extractor, manifest, folder / "bundle")


def feature_extractor(config: Any) -> Any:
    """The one of a type; that of wav2vec2 where a type has none."""
    import transformers
    from transformers.models.auto.feature_extraction_auto import FEATURE_EXTRACTOR_MAPPING_NAMES

    name = FEATURE_EXTRACTOR_MAPPING_NAMES.get(config.model_type) or "Wav2Vec2FeatureExtractor"
    kind = getattr(transformers, name)
    if name == "ASTFeatureExtractor":
        return kind(num_mel_bins=config.num_mel_bins, max_length=config.max_length)
    if name == "WhisperFeatureExtractor":
        return kind(feature_size=config.num_mel_bins, chunk_length=1)
    return kind()


def _write_tokens(folder: Path) -> None:
    import transformers

    file = folder / "vocab.json"
    file.write_text(json.dumps({token: index for index, token in enumerate(_TOKENS)}), encoding="utf-8")
    transformers.Wav2Vec2CTCTokenizer(str(file)).save_pretrained(folder)


def _compare(model: Any, extractor: Any, manifest: EncoderManifest, bundle: Path) -> Judged:
    spec = manifest.input
    assert isinstance(spec, AudioInput | SpectrumInput)
    path = bundle / manifest.graphs["encoder"].file
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    draw = np.random.default_rng(0)
    values, alone, wanted = [], [], []
    for _ in range(3):
        sound = draw.uniform(-0.5, 0.5, _SAMPLES).astype(np.float32)
        samples = raw_values(sound.tobytes(), _RATE, spec, "samples", "sampling_rate")
        values.append(spectra_of(spec)(samples) if isinstance(spec, SpectrumInput) else samples)
        alone.append(session.run(None, {name: values[-1][None]})[0][0])
        with torch.no_grad():
            heard = model(**extractor(sound, sampling_rate=_RATE, return_tensors="pt"))
        wanted.append(heard.logits[0].numpy())
    together = session.run(None, {name: np.stack(values)})[0]
    exact = all(map(np.array_equal, alone, together))
    error = max(spread_error(alone, wanted), spread_error(list(together), wanted))
    return Judged(error, "" if exact else "close, not equal, in company")
