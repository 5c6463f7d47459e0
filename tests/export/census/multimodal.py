"""Judges the language model of a class that reads more than text: the bundle's answers beside the whole model's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attendant.bundle import GeneratorManifest
from attendant_export.decoders.architectures import check_layers
from attendant_export.export import export_bundle
from attendant_export.source.parts import check_part, text_config, whole_class

from tests.export.census.decoders import compare
from tests.export.census.outcome import Judged, NotTried
from tests.export.multimodal.folders import make_folder
from tests.export.multimodal.models import config_of


def judge(model_type: str, class_name: str, folder: Path) -> Judged:
    """Exports the language model of a small model of the class, ``--part text``, and compares it with the whole.

    Returns:
        The largest difference of logits.

    Raises:
        NotTried: no model could be made. ExportError: refused. Wrong: the bundle answers otherwise than the whole.
    """
    config = _config(model_type).to_dict()
    part: Any = "text" if whole_class(config) else None  # a few classes of this kind are of texts alone
    check_part(config, "text" if config.get("is_encoder_decoder") else part)
    check_layers(model_type, text_config(config))
    try:
        whole = make_folder(folder / "model", model_type)
    except Exception as error:
        raise NotTried(f"no small {class_name} can be made: {' '.join(str(error).split())[:200]}") from error
    manifest = export_bundle(folder / "model", folder / "bundle", part=part, attention="none")
    assert isinstance(manifest, GeneratorManifest)
    return compare(whole, manifest, folder / "bundle")


def _config(model_type: str) -> Any:
    """The config of a small model, or the default one where there is none: it is refused for what it says."""
    from transformers import CONFIG_MAPPING

    try:
        config = config_of(model_type)
        return type(config).from_dict(config.to_dict())
    except Exception:  # noqa: BLE001 - configs check their fields in many ways
        return CONFIG_MAPPING[model_type]()
