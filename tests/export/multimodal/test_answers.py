"""The bundle of a language model answers texts as the whole model's ``generate`` does, alone and in company."""

from __future__ import annotations

from pathlib import Path

import pytest
from attendant.bundle import GeneratorManifest
from attendant_export.export import export_bundle

from tests.export.census.decoders import compare
from tests.export.multimodal.folders import make_folder
from tests.export.multimodal.models import RIGHT


@pytest.mark.parametrize("name", RIGHT)
def test_a_bundle_answers_as_the_whole_does(tmp_path: Path, name: str) -> None:
    whole = make_folder(tmp_path / "m", name)
    manifest = export_bundle(tmp_path / "m", tmp_path / "b", part="text", attention="none")
    assert isinstance(manifest, GeneratorManifest)
    compare(whole, manifest, tmp_path / "b")


def test_a_model_of_texts_among_the_others_needs_no_flag(tmp_path: Path) -> None:
    whole = make_folder(tmp_path / "m", "mistral4")
    manifest = export_bundle(tmp_path / "m", tmp_path / "b", attention="none")
    assert isinstance(manifest, GeneratorManifest)
    compare(whole, manifest, tmp_path / "b")
