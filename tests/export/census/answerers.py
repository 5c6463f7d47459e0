"""Judges encoder-decoders: greedy answers and logits of the bundle beside those of transformers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from attendant.bundle import GeneratorManifest
from attendant_export.export import export_bundle

from tests.export import seq2seq_families
from tests.export.census import making
from tests.export.census.outcome import LIMIT, Judged, NotTried, Wrong
from tests.export.seq2seq_measure import LENGTHS, Answering, Row, compare


def judge_text(model_type: str, class_name: str, folder: Path) -> Judged:
    """Exports a small model of the class and compares its answers to texts.

    Raises:
        NotTried: no model could be made. ExportError: refused. Wrong: the bundle answers otherwise.
    """
    source = folder / "model"
    making.save(making.make_model(model_type, class_name, decoder_start_token_id=1), source)
    making.write_tokenizer(source, encodes=True)
    draw = np.random.default_rng(4)
    rows: list[Row] = [np.append(draw.integers(5, 295, size), 2) for size in LENGTHS]
    return _judge(class_name, source, folder / "bundle", rows)


def judge_speech(model_type: str, class_name: str, folder: Path) -> Judged:
    """The same of sound; other models than Whisper are refused by their type, before their sound is looked at."""
    source = folder / "model"
    if model_type == "whisper":
        seq2seq_families.save_folder("whisper", source)
    else:
        making.save(making.make_model(model_type, class_name), source)
        making.write_tokenizer(source, encodes=True)
    shape = (3, seq2seq_families.MEL_BINS, 100 * seq2seq_families.WINDOW_SECONDS)
    noise = 0.5 * np.random.default_rng(0).normal(size=shape)
    return _judge(class_name, source, folder / "bundle", list(noise.astype(np.float32)))


def _judge(class_name: str, source: Path, bundle: Path, rows: list[Row]) -> Judged:
    model = making.loaded(class_name, source)
    manifest = export_bundle(source, bundle)
    if not isinstance(manifest, GeneratorManifest) or manifest.encoder_input is None:
        raise NotTried(f"a folder of {class_name} is taken for task {manifest.task}, without an encoder")
    found = compare(Answering(model, bundle, rows))
    error = found.error / max(1.0, found.spread)
    if not error <= LIMIT:  # NaN as well
        raise Wrong(f"logits differ by {error:.2g} of their spread")
    if not found.greedy:
        raise Wrong("greedy answers are not those of the model")
    return Judged(error, "" if found.exact else "close, not equal, in company")
