"""What images are made of: the lock has all that the server needs, with hashes, and the list all that is installed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import metadata

import pytest
from packaging.requirements import Requirement

from deploy.supply import LOCK, canonical, lock_of, locked, main, requirements, sbom
from tests.system.server import REPOSITORY


def test_the_lock_has_what_the_server_needs_and_of_each_its_hashes() -> None:
    versions = locked()
    for text in requirements():
        wanted = Requirement(text)
        assert wanted.specifier.contains(versions[canonical(wanted.name)]), text
    text = LOCK.read_text(encoding="utf-8")
    blocks = text.split("\n", 1)[1].replace(" \\\n", " ").splitlines()
    assert len(blocks) == len(versions)
    for block in blocks:
        assert re.fullmatch(r"[a-z0-9-]+==[0-9][\w.]*( +--hash=sha256:[0-9a-f]{64})+", block), block
    assert "://" not in text, "it names no host"


def test_hashes_of_several_machines_are_joined() -> None:
    one, other = {("a", "1"): frozenset("x"), ("b", "2"): frozenset("y")}, {("a", "1"): frozenset("z")}
    packages = lock_of([one, other]).split("\n", 1)[1]
    assert packages == "a==1 \\\n    --hash=sha256:x \\\n    --hash=sha256:z\nb==2 \\\n    --hash=sha256:y\n"


def test_the_list_has_all_that_is_installed() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "pip", "list", "--format", "json"], check=True, capture_output=True, text=True
    )
    found = sbom()
    listed = {each["name"]: each["version"] for each in (found["metadata"]["component"], *found["components"])}
    installed = {canonical(each["name"]): each["version"] for each in json.loads(told.stdout)}
    assert installed.items() <= listed.items()
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")
    refs = [each["bom-ref"] for each in found["components"]]
    assert len(set(refs)) == len(refs)
    assert all(each["purl"] == f"pkg:pypi/{each['name']}@{each['version']}" for each in found["components"])


def test_words_that_are_none_and_tools_that_are_missing_are_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["lok"]) == 2
    assert "lock | sbom | audit" in capsys.readouterr().err

    def missing(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    assert main(["audit"]) == 2
    assert "pip-audit is not installed" in capsys.readouterr().err
    assert LOCK.parent == REPOSITORY / "deploy"
