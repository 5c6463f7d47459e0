"""What images are made of: the lock has all that the server needs, with hashes, and the list all that is installed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from deploy.supply import HERE, LOCKS, NEEDS, Lock, canonical, lock_of, main, sbom, told

WRITES = """import json, sys
with open(sys.argv[sys.argv.index("--output") + 1], "w") as report:
    json.dump({{"dependencies": {}}}, report)
"""
"""A program that writes a report as pip-audit does."""
READS = """import sys
locks = [open(word).read() for word in sys.argv if word.endswith(".txt")]
assert len(locks) > 2 and any("\\ntorch==" in lock for lock in locks) and not any("+cpu" in lock for lock in locks)
"""
"""One that ends badly unless it is asked of all locks, and of versions as an index knows them."""


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.image)
def test_a_lock_has_what_its_image_needs_and_of_each_package_its_hashes(lock: Lock) -> None:
    versions = lock.locked()
    for text in lock.requirements():
        wanted = Requirement(text)
        assert wanted.specifier.contains(versions[canonical(wanted.name)]), text
    text = lock.file.read_text(encoding="utf-8")
    blocks = text.split("\n", 1)[1].replace(" \\\n", " ").splitlines()
    assert len(blocks) == len(versions)
    for block in blocks:
        assert re.fullmatch(r"[a-z0-9-]+==[0-9][\w.+]*( +--hash=sha256:[0-9a-f]{64})+", block), block
    assert "://" not in text, "it names no host"


def test_every_lock_there_is_belongs_to_an_image() -> None:
    assert sorted((HERE / "docker").glob("requirements-*.txt")) == sorted(lock.file for lock in LOCKS)


def test_hashes_of_several_machines_are_joined() -> None:
    one, other = {("a", "1"): frozenset("x"), ("b", "2"): frozenset("y")}, {("a", "1"): frozenset("z")}
    packages = lock_of("any", [one, other]).split("\n", 1)[1]
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
    assert "lock [IMAGE...] | sbom | audit" in capsys.readouterr().err

    def missing(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    assert main(["audit"]) == 2
    assert "pip-audit is not installed" in capsys.readouterr().err


HOLE = {"id": "CVE-1", "fix_versions": ["2.1"], "aliases": [], "description": "a"}


def test_a_package_that_could_not_be_audited_is_none_that_was(capsys: pytest.CaptureFixture[str]) -> None:
    whole = {"name": "a", "version": "1", "vulns": []}
    skipped = {"name": "b", "skip_reason": "Dependency not found"}
    holed = {"name": "c", "version": "2", "vulns": [HOLE]}
    assert told([whole, whole]) == 0
    assert capsys.readouterr().out == "2 of 2 packages were audited; 0 holes are known of them\n"
    assert told([whole, skipped]) == 2
    said = capsys.readouterr()
    assert "1 of 2 packages were audited" in said.out
    assert "not audited: b" in said.err
    assert NEEDS in said.err
    assert told([whole, skipped, holed]) == 1
    assert "c 2: CVE-1, mended in 2.1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("program", "code", "said"),
    [
        ("raise OSError('no route to any host')", 2, "OSError: no route to any host"),
        ("raise SystemExit(1)", 2, "pip-audit ended with 1: it said nothing"),
        (WRITES.format([{"name": "a", "skip_reason": "none"}]), 2, "not audited: a"),
        (WRITES.format([{"name": "a", "version": "1", "vulns": []}]), 0, ""),
        (READS + WRITES.format([{"name": "a", "version": "1", "vulns": []}]), 0, ""),
    ],
)
def test_an_audit_says_what_it_lacks(
    program: str,
    code: int,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a program in pip-audit's place: it is no package of these tests, and asks the network."""
    (tmp_path / "pip_audit.py").write_text(program)
    (tmp_path / "pip_audit-1.dist-info").mkdir()
    (tmp_path / "pip_audit-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: pip-audit\nVersion: 1\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["audit"]) == code
    errors = capsys.readouterr().err
    assert said in errors
    assert (NEEDS in errors) == (code == 2)
