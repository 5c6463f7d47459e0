"""Judges the language models of those that read images or sound, too: answers to texts beside those of the whole."""

from __future__ import annotations

from pathlib import Path

from attendant.bundle import GeneratorManifest
from attendant_export.export import export_bundle

from tests.export.census import making
from tests.export.census.decoders import compare
from tests.export.census.outcome import Judged
from tests.export.multimodal.models import make_whole


def judge(model_type: str, class_name: str, folder: Path) -> Judged:
    """Exports the language model of a small one and compares.

    Raises:
        NotTried: no model could be made. ExportError: refused. Wrong: the bundle answers otherwise.
    """
    source = folder / "model"
    try:
        whole = make_whole(model_type)
    except Exception:  # noqa: BLE001 - the sizes of all others may do
        whole = making.make_model(model_type, class_name)
    making.save(whole, source)
    making.write_tokenizer(source)
    model = making.loaded(class_name, source)
    manifest = export_bundle(source, folder / "bundle", part="text")
    assert isinstance(manifest, GeneratorManifest)
    return compare(model, manifest, folder / "bundle")
