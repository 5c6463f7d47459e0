"""What of a bundle gives attention: found at loading, refused where the manifest promises what is not there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from attendant.bundle import MANIFEST_FILE, read_any_manifest
from attendant.core.attention import AttentionShape
from attendant.core.errors import BundleError
from attendant.demo import demo_bundle, demo_bundles
from attendant.models.attention import attention_of
from attendant.models.info import ModelInfo, ModelState
from attendant.models.loader import ModelLoader
from attendant.rpc.convert_models import model_message
from attendant.settings import EncoderSettings, EngineSettings
from attendant_proto.v1 import explain_pb2 as pb

from tests.synthetic import make_synthetic_bundle


def copy_of(name: str, folder: Path, change: Any = None) -> Path:
    bundle = Path(shutil.copytree(demo_bundle().parent / name, folder / name))
    if change is not None:
        path = bundle / MANIFEST_FILE
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))
    return bundle


def test_the_demo_models_are_loaded_with_their_attention() -> None:
    loader = ModelLoader(
        EngineSettings(threads=1, max_num_seqs=2),
        encoder=EncoderSettings(threads=1),
        verify=True,
        progress=lambda line: None,
    )
    models = {model.name: model for model in loader.load_all(demo_bundles()).models}

    shapes = {}
    for name, model in models.items():
        found = model.generator.attention if model.generator is not None else model.encoders[0].attention
        assert found is not None
        shapes[name] = found.shapes
    assert shapes == {
        "demo": (AttentionShape("self", 4, 8),),
        "sentiment": (AttentionShape("self", 4, 4),),
        "shapes": (AttentionShape("self", 4, 4),),
        "translator": tuple(AttentionShape(kind, 3, 5) for kind in ("self", "encoder", "cross")),
    }


def test_a_bundle_without_the_section_gives_none(tmp_path: Path) -> None:
    bundle = make_synthetic_bundle(tmp_path / "m")

    assert attention_of(bundle, read_any_manifest(bundle), 1) is None


def test_a_graph_that_is_missing_is_named(tmp_path: Path) -> None:
    bundle = copy_of("translator", tmp_path)
    (bundle / "attention_source.onnx").unlink()

    with pytest.raises(BundleError, match=r"attention_source\.onnx.*missing"):
        attention_of(bundle, read_any_manifest(bundle), 1)


def test_a_section_without_its_graph_is_refused(tmp_path: Path) -> None:
    bundle = copy_of("shapes", tmp_path, lambda content: content["graphs"].pop("attention"))

    with pytest.raises(BundleError, match="no graph 'attention': export the model again"):
        attention_of(bundle, read_any_manifest(bundle), 1)


def test_a_graph_that_gives_fewer_layers_than_its_section_says_is_no_attention_graph(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["attention"]["kinds"][0]["num_layers"] = 5

    bundle = copy_of("shapes", tmp_path, change)

    with pytest.raises(BundleError, match="attention_self_4"):
        attention_of(bundle, read_any_manifest(bundle), 1)


def test_callers_are_told_what_a_model_gives() -> None:
    bundle = demo_bundle().parent / "shapes"
    manifest = read_any_manifest(bundle)

    told = model_message(ModelInfo(manifest, manifest.capabilities, ModelState.READY)).attention

    assert told.source == "fused"
    assert [(each.kind, each.num_layers, each.num_heads) for each in told.kinds] == [(pb.ATTENTION_KIND_SELF, 4, 4)]
    assert (told.grid.rows, told.grid.columns, told.grid.num_prefix) == (6, 6, 1)
    assert not told.HasField("max_abs_error")


def test_callers_are_told_if_a_model_gives_none(tmp_path: Path) -> None:
    manifest = read_any_manifest(make_synthetic_bundle(tmp_path / "m"))

    assert not model_message(ModelInfo(manifest, manifest.capabilities, ModelState.READY)).HasField("attention")
