"""Judges the language model of a class that reads more than text: the bundle's answers beside the whole model's."""

from __future__ import annotations

from pathlib import Path

from attendant.bundle import GeneratorManifest
from attendant_export.export import export_bundle
from attendant_export.source.parts import check_part

from tests.export.census import making
from tests.export.census.decoders import compare
from tests.export.census.outcome import NotTried
from tests.export.multimodal.models import config_of, make_whole


def judge(model_type: str, class_name: str, folder: Path) -> float:
    """Exports the language model of a small model of the class, ``--part text``, and compares it with the whole.

    Returns:
        The largest difference of logits.

    Raises:
        NotTried: no model could be made. ExportError: refused. Wrong: the bundle answers otherwise than the whole.
    """
    check_part(config_of(model_type).to_dict(), "text")
    try:
        whole = make_whole(model_type)
    except Exception as error:
        raise NotTried(f"no small {class_name} can be made: {' '.join(str(error).split())[:200]}") from error
    making.save(whole, folder / "model")
    making.write_tokenizer(folder / "model")
    manifest = export_bundle(folder / "model", folder / "bundle", part="text", attention="none")
    assert isinstance(manifest, GeneratorManifest)
    return compare(whole, manifest, folder / "bundle")
