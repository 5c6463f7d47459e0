"""A server of before there were parts, as today's command line reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
from attendant.bundle import GeneratorManifest, read_any_manifest
from attendant.client.model_report import details, table
from attendant.client.older_servers import fill_parts
from attendant.demo import demo_bundles
from attendant.models.info import EncodingInfo, GenerationInfo, ModelInfo, ModelState
from attendant.rpc.convert_models import model_message
from attendant_proto.v1 import models_pb2 as pb


def shown(bundle: Path) -> pb.Model:
    """What a server of today says of a bundle, but for attention, which no older one gives."""
    manifest = read_any_manifest(bundle)
    capabilities = tuple(name for name in manifest.capabilities if name != "attention")
    if isinstance(manifest, GeneratorManifest):
        generation = GenerationInfo(manifest, 512, 8, 72)
        return model_message(ModelInfo(manifest, capabilities, ModelState.READY, generation))
    encoding = EncodingInfo(manifest, 300, 64, 4160)
    return model_message(ModelInfo(manifest, capabilities, ModelState.READY, encodings=(encoding,)))


def by_an_older_server(model: pb.Model) -> pb.Model:
    older = pb.Model.FromString(model.SerializeToString())
    for name in ("capabilities", "bundle", "generation", "encodings", "recognition"):
        older.ClearField(name)  # type: ignore[arg-type]
    return older


@pytest.mark.parametrize("bundle", demo_bundles(), ids=lambda bundle: bundle.name)
def test_it_is_reported_as_one_of_today(bundle: Path) -> None:
    today = shown(bundle)
    filled = fill_parts(by_an_older_server(today))
    assert list(table([filled])) == list(table([today]))
    assert list(details([filled])) == list(details([today]))
    assert filled.capabilities == today.capabilities
    assert filled.generation.HasField("chat") == today.generation.HasField("chat")
    assert filled.generation.limits == today.generation.limits


def test_what_a_server_of_today_says_is_left_alone() -> None:
    today = shown(demo_bundles()[0])
    assert fill_parts(pb.Model.FromString(today.SerializeToString())) == today


def test_a_bundle_that_the_server_cannot_read_has_no_parts() -> None:
    failed = pb.Model(name="broken", state=pb.MODEL_STATE_FAILED, cause="it is cut")
    assert not fill_parts(pb.Model.FromString(failed.SerializeToString())).HasField("bundle")
