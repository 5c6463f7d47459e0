"""What a folder of models has: versions, what is wrong with them, and what is left alone."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from attendant.bundle import MANIFEST_FILE
from attendant.core.errors import ConfigurationError
from attendant.models.folder import ModelFolder

from tests.synthetic import make_synthetic_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_synthetic_bundle(tmp_path_factory.mktemp("b") / "bundle", name="its-own-name")


def faults(folder: ModelFolder) -> dict[tuple[str, str], str]:
    return {key: stored.fault for key, stored in folder.look().items()}


def test_versions_have_the_names_of_their_folders(bundle: Path, tmp_path: Path) -> None:
    for version in ("2", "10", "1"):
        shutil.copytree(bundle, tmp_path / "demo" / version)
    shutil.copytree(bundle, tmp_path / "plain")
    (tmp_path / "elsewhere").symlink_to(tmp_path / "demo")
    (tmp_path / "README").write_text("not a folder")
    found = ModelFolder(tmp_path).look()
    assert list(found) == [
        *(("demo", version) for version in ("1", "2", "10")),
        *(("elsewhere", version) for version in ("1", "2", "10")),
        ("plain", "1"),
    ]
    for (name, version), stored in found.items():
        assert stored.manifest is not None
        assert (stored.manifest.name, stored.manifest.version) == (name, version)
        assert (stored.fault, stored.is_version) == ("", True)


def test_what_is_no_version_is_told_and_what_is_hidden_is_not_seen(bundle: Path, tmp_path: Path) -> None:
    for version in ("0", "01", "v2", ".3"):
        shutil.copytree(bundle, tmp_path / "demo" / version)
    (tmp_path / ".git").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "no@name").mkdir()
    folder = ModelFolder(tmp_path)
    assert faults(folder) == {
        ("demo", "0"): "the folder is left alone: versions are numbers from 1",
        ("demo", "01"): "the folder is left alone: versions are numbers from 1",
        ("demo", "v2"): "the folder is left alone: versions are numbers from 1",
        ("empty", ""): f"the folder has neither {MANIFEST_FILE} nor folders of versions",
        ("no@name", ""): "the folder's name is no name of a model: letters, digits, . _ -",
    }
    assert not any(stored.is_version for stored in folder.look().values())


def test_a_version_that_is_being_copied_is_incomplete_until_all_of_it_is_there(bundle: Path, tmp_path: Path) -> None:
    version = tmp_path / "demo" / "1"
    folder = ModelFolder(tmp_path)
    version.mkdir(parents=True)
    assert faults(folder)["demo", "1"] == "bundle.json: the file is missing; a bundle is made by `attendant export`"
    data = (bundle / MANIFEST_FILE).read_bytes()
    (version / MANIFEST_FILE).write_bytes(data[:100])
    assert "is not valid JSON" in faults(folder)["demo", "1"]
    (version / MANIFEST_FILE).write_bytes(data)
    assert faults(folder)["demo", "1"] == "it is incomplete: decoder.onnx is missing"
    seals = {folder.look()["demo", "1"].seal}
    for file in json.loads(data)["files"]:
        content = (bundle / file).read_bytes()
        (version / file).write_bytes(content[:7])
        assert faults(folder)["demo", "1"] == f"it is incomplete: {file} has 7 of {len(content):,} bytes"
        seals.add(folder.look()["demo", "1"].seal)
        (version / file).write_bytes(content)
        seals.add(folder.look()["demo", "1"].seal)
    assert faults(folder)["demo", "1"] == ""
    assert len(seals) == 2 * len(json.loads(data)["files"]) + 1, "each state of the files is another"


def test_files_put_in_the_place_of_others_are_others(bundle: Path, tmp_path: Path) -> None:
    version = tmp_path / "demo" / "1"
    shutil.copytree(bundle, version)
    folder = ModelFolder(tmp_path)
    before = folder.look()["demo", "1"]
    assert folder.look()["demo", "1"] == before
    times = os.stat(version / "decoder.onnx")
    shutil.copy(version / "decoder.onnx", tmp_path / "new")
    os.utime(tmp_path / "new", ns=(times.st_atime_ns, times.st_mtime_ns))
    (tmp_path / "new").rename(version / "decoder.onnx")
    assert folder.look()["demo", "1"].seal != before.seal, "size and time are the same"


def test_bundles_that_were_named_come_first(bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "demo" / "1")
    folder = ModelFolder(tmp_path, {"demo": bundle})
    found = folder.look()
    assert found["demo", "1"].path == bundle
    assert all(stored.key == key for key, stored in found.items())
    assert faults(folder)["demo", "in the folder"] == "a bundle of this name was named at the start"
    assert ModelFolder(None, {"demo": bundle}).look() == {("demo", "1"): found["demo", "1"]}


def test_a_folder_that_cannot_be_read_is_no_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"model_repository: .*gone cannot be read: No such file"):
        ModelFolder(tmp_path / "gone").look()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be read: Not a directory"):
        ModelFolder(tmp_path / "file").look()
