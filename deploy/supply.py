"""What images are made of: locks of their packages with hashes, a list of them for others' tools, and known holes.

`python -m deploy.supply lock` asks the package index what the images' requirements come to today, and writes the locks;
`sbom` writes what is installed here as CycloneDX; `audit` has pip-audit look for known holes in what the locks have.

The locks are for the Python of the images, which need not be the one that runs here.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PYTHON = "3.11"
"""Of the images: the one that the tests run with."""


@dataclass(frozen=True, slots=True)
class Lock:
    """What one image installs: the project's requirements with ``extras``, for ``machines``. ``build`` is no image: it
    makes the wheel."""

    image: str
    extras: tuple[str, ...] = ()
    machines: tuple[str, ...] = ("x86_64", "aarch64")

    @property
    def file(self) -> Path:
        """As pip takes it with --require-hashes."""
        return HERE / "docker" / f"requirements-{self.image}.txt"

    def requirements(self) -> tuple[str, ...]:
        """What it needs, as pyproject.toml says it."""
        told = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))
        if self.image == "build":
            return tuple(told["build-system"]["requires"])
        project = told["project"]
        optional = project["optional-dependencies"]
        return (*project["dependencies"], *(each for extra in self.extras for each in optional[extra]))

    def locked(self) -> Mapping[str, str]:
        """The versions that the file has, by name."""
        return dict(_LINE.findall(self.file.read_text(encoding="utf-8")))


LOCKS = (
    Lock("build"),
    Lock("cpu", extras=("cpu", "traces")),
    Lock("gpu", extras=("gpu", "traces"), machines=("x86_64",)),
    Lock("export", extras=("export", "sign"), machines=("x86_64",)),
)
_GLIBC = range(17, 37)  # 2.x; Debian 12 has 2.36

NEEDS = (
    "it asks the package index, over the network, what is known of each version; a mirror that has files alone does "
    "not answer that"
)

_NAME = re.compile(r"[-_.]+")
_LOCAL = re.compile(r"^([a-z0-9-]+==[^\s+]+)\+\S+", re.MULTILINE)
"""A version with a builder's own mark, as torch's for processors has it: what is known is known of the one without."""
_LINE = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)


def resolved(requirements: Iterable[str], machine: str) -> Mapping[tuple[str, str], frozenset[str]]:
    """What requirements come to on a machine, by name and version, with the SHA-256 of the wheels. Asks the index."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--quiet", "--dry-run", "--ignore-installed"]
        command += ["--report", str(report), "--target", folder, "--only-binary=:all:", "--python-version", PYTHON]
        for version in _GLIBC:
            command += ["--platform", f"manylinux_2_{version}_{machine}"]
        command += ["--platform", f"manylinux2014_{machine}"]
        subprocess.run([*command, *requirements], check=True)
        found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return {
        (canonical(each["metadata"]["name"]), each["metadata"]["version"]): frozenset(
            (each["download_info"]["archive_info"]["hashes"]["sha256"],)
        )
        for each in found["install"]
    }


def lock_of(image: str, machines: Iterable[Mapping[tuple[str, str], frozenset[str]]]) -> str:
    """The lock, as pip takes it with --require-hashes: each package once, with the hashes of all machines' wheels."""
    hashes: dict[tuple[str, str], set[str]] = {}
    for packages in machines:
        for package, known in packages.items():
            hashes.setdefault(package, set()).update(known)
    lines = [f"# Made by `python -m deploy.supply lock`: the packages of the image `{image}`, with hashes."]
    for (name, version), all_known in sorted(hashes.items()):
        lines.append(" \\\n".join([f"{name}=={version}", *(f"    --hash=sha256:{each}" for each in sorted(all_known))]))
    return "\n".join(lines) + "\n"


def sbom() -> dict[str, Any]:
    """What is installed here, as CycloneDX 1.6 has it."""
    packages = {canonical(each.name): each for each in metadata.distributions()}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": _component("attendant", packages.pop("attendant", None), kind="application")},
        "components": [_component(name, package) for name, package in sorted(packages.items())],
    }


def canonical(name: str) -> str:
    """A name of a package in its one spelling."""
    return _NAME.sub("-", name).lower()


def _component(name: str, package: metadata.Distribution | None, kind: str = "library") -> dict[str, Any]:
    version = package.version if package is not None else "0"
    purl = f"pkg:pypi/{name}@{version}"
    found: dict[str, Any] = {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl}
    if package is None or "License-Expression" not in package.metadata:
        return found
    return found | {"licenses": [{"expression": package.metadata["License-Expression"]}]}


def audit() -> int:
    """Known holes of what the locks have. Returns 0 if every package was looked at and none has one, 1 for holes, and 2
    where not all could be looked at."""
    try:
        metadata.distribution("pip-audit")
    except metadata.PackageNotFoundError:
        print("pip-audit is not installed here; run: pip install pip-audit", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip"]
        for lock in LOCKS:
            public = Path(folder) / lock.file.name
            public.write_text(_LOCAL.sub(r"\1", lock.file.read_text(encoding="utf-8")), encoding="utf-8")
            command += ["--requirement", str(public)]
        command += ["--progress-spinner", "off", "--format", "json", "--output", str(report)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if not report.exists():
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            print(
                f"nothing was audited: {NEEDS}\npip-audit ended with {done.returncode}: {last[:500]}", file=sys.stderr
            )
            return 2
        return told(json.loads(report.read_text(encoding="utf-8"))["dependencies"])


def told(packages: Iterable[Mapping[str, Any]]) -> int:
    """Tell what pip-audit has found of each package, and return the exit code: see :func:`audit`. What it could not
    look at it takes for harmless, and nobody here must."""
    found = list(packages)
    skipped = [each["name"] for each in found if "skip_reason" in each]
    holes = [(each, hole) for each in found for hole in each.get("vulns", ())]
    for package, hole in holes:
        mended = ", ".join(hole["fix_versions"]) or "no version"
        print(f"{package['name']} {package['version']}: {hole['id']}, mended in {mended}")
    print(f"{len(found) - len(skipped)} of {len(found)} packages were audited; {len(holes)} holes are known of them")
    if skipped:
        print(f"not audited: {', '.join(sorted(skipped))}\n{NEEDS}", file=sys.stderr)
    return 1 if holes else 2 if skipped else 0


def main(words: list[str]) -> int:
    """Do what the one word says. Returns the exit code."""
    match words:
        case ["lock", *images]:
            for lock in LOCKS:
                if not images or lock.image in images:
                    packages = [resolved(lock.requirements(), machine) for machine in lock.machines]
                    lock.file.write_text(lock_of(lock.image, packages), encoding="utf-8")
                    print(f"wrote deploy/docker/{lock.file.name}")
        case ["sbom"]:
            print(json.dumps(sbom(), indent=1))
        case ["audit"]:
            return audit()
        case _:
            print("python -m deploy.supply lock [IMAGE...] | sbom | audit", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
