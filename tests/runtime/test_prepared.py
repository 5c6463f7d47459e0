"""Weights that are packed once and mapped by all who serve them: the same bits, one file, and no harm if it fails."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from attendant.bundle import MANIFEST_FILE, read_any_manifest
from attendant.models.loaded import LoadedModel
from attendant.models.loader import ModelLoader
from attendant.runtime.resident import Resident
from attendant.settings import EngineSettings

from tests.runtime.test_processors import answers
from tests.synthetic import make_synthetic_bundle

SETTINGS = EngineSettings(threads=2, spinning=False, max_num_seqs=4)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_synthetic_bundle(tmp_path_factory.mktemp("b") / "one", heads=4, kv_heads=2, head_size=16, eos_bias=-1e4)


def load(bundle: Path, prepared: Path | None) -> LoadedModel:
    loader = ModelLoader(SETTINGS, verify=True, progress=lambda line: None, prepared=prepared)
    return loader.load(bundle, read_any_manifest(bundle))


def said(model: LoadedModel) -> list[object]:
    assert model.generator is not None
    return answers(model.generator.engines[0])


def mapped(folder: Path) -> list[str]:
    """Files of a folder that this process has mapped."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return sorted({words[5] for line in lines if len(words := line.split()) > 5 and words[5].startswith(str(folder))})


def test_answers_are_the_same_to_the_bit_and_weights_are_mapped(bundle: Path, tmp_path: Path) -> None:
    expected = said(load(bundle, None))
    models = [load(bundle, tmp_path / "prepared") for _ in range(2)]
    assert [said(model) for model in models] == [expected, expected]
    (place,) = (tmp_path / "prepared").iterdir()
    assert mapped(tmp_path / "prepared") == [str(place / "decoder.onnx.data")]


def test_the_log_says_what_is_mapped(bundle: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    loader = ModelLoader(SETTINGS, verify=True, progress=lines.append, prepared=tmp_path / "prepared")
    loader.load(bundle, read_any_manifest(bundle))
    assert re.fullmatch(r"synthetic: takes about -?\d+ MB of memory, and -?\d+ MB mapped from files", lines[-1])
    assert Resident.now().mapped > 0


def test_versions_that_differ_in_words_only_share(bundle: Path, tmp_path: Path) -> None:
    other = shutil.copytree(bundle, tmp_path / "other")
    told = json.loads((other / MANIFEST_FILE).read_text())
    (other / MANIFEST_FILE).write_text(json.dumps(told | {"name": "other", "version": "2"}))
    assert said(load(bundle, tmp_path / "prepared")) == said(load(other, tmp_path / "prepared"))
    assert len(list((tmp_path / "prepared").iterdir())) == 1


def test_other_weights_are_kept_apart(bundle: Path, tmp_path: Path) -> None:
    other = make_synthetic_bundle(tmp_path / "other", seed=1, heads=4, kv_heads=2, head_size=16, eos_bias=-1e4)
    assert said(load(bundle, tmp_path / "prepared")) != said(load(other, tmp_path / "prepared"))
    assert len(list((tmp_path / "prepared").iterdir())) == 2


def test_servers_that_start_at_once_do_not_disturb_each_other(bundle: Path, tmp_path: Path) -> None:
    expected = said(load(bundle, None))
    with ThreadPoolExecutor(3) as pool:
        models = list(pool.map(lambda _: load(bundle, tmp_path / "prepared"), range(3)))
    assert [said(model) for model in models] == [expected] * 3
    assert len(list((tmp_path / "prepared").iterdir())) == 1, "nothing unfinished is left"


def test_others_may_read_what_is_prepared_as_far_as_the_server_lets_them(bundle: Path, tmp_path: Path) -> None:
    load(bundle, tmp_path / "prepared")
    (place,) = (tmp_path / "prepared").iterdir()
    assert place.stat().st_mode == place.parent.stat().st_mode


def test_what_a_killed_server_left_unfinished_goes_after_an_hour(bundle: Path, tmp_path: Path) -> None:
    old, new = (tmp_path / "prepared" / f".unfinished-{name}" for name in ("old", "new"))
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "decoder.onnx").write_bytes(b"cut")
    os.utime(old, (0, 0))
    load(bundle, tmp_path / "prepared")
    assert not old.exists()
    assert new.exists(), "another server may still write it"


@pytest.mark.parametrize("damage", ["graph", "weights"])
def test_what_is_broken_is_not_served_and_written_anew(
    bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    expected = said(load(bundle, tmp_path / "prepared"))
    (place,) = (tmp_path / "prepared").iterdir()
    file = place / ("decoder.onnx" if damage == "graph" else "decoder.onnx.data")
    file.unlink()  # another model may have it mapped
    file.write_bytes(b"cut")
    with caplog.at_level(logging.WARNING):
        assert said(load(bundle, tmp_path / "prepared")) == expected
    assert "is served from its bundle" in caplog.text
    caplog.clear()
    assert said(load(bundle, tmp_path / "prepared")) == expected
    assert not caplog.records


def test_a_folder_that_cannot_be_written_leaves_the_model_served(
    bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        assert said(load(bundle, tmp_path / "file" / "prepared")) == said(load(bundle, None))
    assert "cannot be prepared" in caplog.text
