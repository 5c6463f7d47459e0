"""The image says what the server understands."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from tests.deploy.settings import load_settings
from tests.system.server import REPOSITORY, ServerProcess, attendant

DOCKERFILE = (REPOSITORY / "deploy" / "Dockerfile").read_text(encoding="utf-8")


def instructions(name: str) -> list[str]:
    """The Dockerfile's instructions of a kind, with continued lines joined."""
    joined = DOCKERFILE.replace("\\\n", " ")
    return [line.removeprefix(name + " ") for line in joined.splitlines() if line.startswith(name + " ")]


def environment() -> dict[str, str]:
    """The variables that the image sets for the server."""
    pairs = [word.split("=", 1) for line in instructions("ENV") for word in shlex.split(line)]
    return {name: value for name, value in pairs if name.startswith("ATTENDANT_")}


# -- the image


def test_the_image_installs_an_extra_that_exists_and_no_torch() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    installed = [found.split(",") for found in re.findall(r"\.whl\)\[([\w,]+)\]", DOCKERFILE)]
    assert installed == [["gpu", "traces"], ["cpu", "traces"]], "one for each target; the last is the default"
    extras = {extra for found in installed for extra in found}
    assert [line.split()[-1] for line in instructions("FROM")][-2:] == [first for first, _ in installed]
    wanted = [*project["dependencies"], *(name for extra in extras for name in project["optional-dependencies"][extra])]
    assert not any(re.match(r"torch|transformers|locust", requirement) for requirement in wanted)
    assert "torch" not in "".join(instructions("RUN"))


def test_the_image_has_what_the_wheel_is_made_of() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    copied = {word for line in instructions("COPY") for word in line.split()[:-1]}
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {package.split("/")[0] for package in packages} <= copied
    assert {"pyproject.toml", project["project"]["readme"]} <= copied
    ignore = (REPOSITORY / "deploy" / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert {line.removeprefix("!") for line in ignore if line.startswith("!")} == copied


def test_the_image_runs_as_a_numbered_user_and_listens_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    users = instructions("USER")
    assert len(users) == 2
    assert all(re.fullmatch(r"[1-9]\d*:[1-9]\d*", user) for user in users)
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    (command,) = (json.loads(line) for line in instructions("CMD"))
    assert command[0] == "serve"
    settings = load_settings(*command[1:])
    assert settings.bundles == (Path("/bundles"),)
    assert settings.grpc.host == settings.http.host == "0.0.0.0"
    assert instructions("EXPOSE") == [f"{settings.grpc.port} {settings.http.port}"]


def test_the_health_check_passes_while_the_server_serves_and_fails_when_it_is_gone(server: ServerProcess) -> None:
    (check,) = instructions("HEALTHCHECK")
    assert "--start-interval" not in check, "builders of two years ago do not know it"
    program, *words = json.loads(check[check.index("CMD ") + 4 :])
    assert program == "attendant"
    assert attendant(*words, "--server", server.grpc).returncode == 0
    assert attendant(*words, "--server", "127.0.0.1:1").returncode == 1
