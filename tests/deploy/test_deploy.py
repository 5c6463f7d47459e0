"""The image and the manifests say what the server understands."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from attendant.app import FAREWELL_S
from attendant.rpc.server import SERVICES
from attendant.settings import ServeSettings, SettingsArguments
from pydantic import ByteSize, TypeAdapter

from tests.system.server import REPOSITORY, ServerProcess

DOCKERFILE = (REPOSITORY / "deploy" / "Dockerfile").read_text(encoding="utf-8")
MANIFESTS = REPOSITORY / "deploy" / "kubernetes"


def load_settings(*words: str) -> ServeSettings:
    """What the server makes of these arguments."""
    parser = argparse.ArgumentParser()
    arguments = SettingsArguments(parser)
    return arguments.load(parser.parse_args(words))


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> ServeSettings:
    """The settings of a pod: the image's environment and the manifests' file."""
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    return load_settings("--config", str(MANIFESTS / "config.yaml"))


@pytest.fixture
def pod() -> dict[str, Any]:
    found: dict[str, Any] = manifest("deployment.yaml")["spec"]["template"]
    return found


@pytest.fixture
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (found,) = pod["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def manifest(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((MANIFESTS / name).read_text(encoding="utf-8"))
    return found


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
    command = json.loads(check[check.index("CMD ") + 4 :])
    assert command[0] == "python"
    address = f"127.0.0.1:{load_settings().grpc.port}"
    assert address in command[2]

    def run(port: str) -> int:
        script = command[2].replace(address, port)
        return subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, timeout=120).returncode

    assert run(server.grpc) == 0
    assert run("127.0.0.1:1") != 0


# -- the manifests


def test_kustomization_lists_every_manifest() -> None:
    kustomization = manifest("kustomization.yaml")
    (generated,) = kustomization["configMapGenerator"]
    listed = {*kustomization["resources"], *generated["files"], "kustomization.yaml"}
    assert listed == {path.name for path in MANIFESTS.iterdir()}
    for name in kustomization["resources"]:
        assert {"apiVersion", "kind", "metadata"} <= manifest(name).keys()


def test_ports_are_the_settings(container: dict[str, Any], settings: ServeSettings) -> None:
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"grpc": settings.grpc.port, "http": settings.http.port}
    assert settings.grpc.host == settings.http.host == "0.0.0.0"
    (service_port,) = manifest("service.yaml")["spec"]["ports"]
    assert ports[service_port["targetPort"]] == service_port["port"] == settings.grpc.port
    (endpoint,) = manifest("pod-monitor.yaml")["spec"]["podMetricsEndpoints"]
    assert ports[endpoint["port"]] == settings.http.port


def test_probes_ask_services_that_health_knows(container: dict[str, Any], settings: ServeSettings) -> None:
    probes = {name: container[f"{name}Probe"]["grpc"] for name in ("startup", "readiness")}
    assert {probe["port"] for probe in probes.values()} == {settings.grpc.port}
    assert probes["startup"]["service"] == probes["readiness"]["service"] == "attendant.v1.Generation"
    assert probes["readiness"]["service"] in SERVICES
    assert container["livenessProbe"]["httpGet"] == {"path": "/version", "port": "http"}


def test_the_grace_period_outlasts_the_drain(pod: dict[str, Any], settings: ServeSettings) -> None:
    pause_s = settings.lifecycle.drain_delay_s
    assert pause_s >= 5, "clients have to hear that the pod leaves"
    assert pod["spec"]["terminationGracePeriodSeconds"] > pause_s + settings.drain_timeout_s + 10 + FAREWELL_S


def test_arguments_volumes_and_resources_fit(
    pod: dict[str, Any], container: dict[str, Any], settings: ServeSettings
) -> None:
    command, *words = container["args"]
    assert command == "serve"
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert words == ["--config", f"{mounts['config']['mountPath']}/config.yaml"]
    assert settings.bundles == (Path(mounts["bundles"]["mountPath"]),)
    assert all(mount["readOnly"] for mount in mounts.values())
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert mounts.keys() == volumes.keys()
    (generated,) = manifest("kustomization.yaml")["configMapGenerator"]
    assert volumes["config"]["configMap"]["name"] == generated["name"]
    resources = container["resources"]
    assert settings.engine.threads == int(resources["requests"]["cpu"])
    memory = TypeAdapter(ByteSize).validate_python(resources["limits"]["memory"] + "B")
    assert settings.engine.kv_memory is not None
    assert settings.engine.kv_memory < memory


def test_the_pod_may_do_nothing_it_need_not(pod: dict[str, Any], container: dict[str, Any]) -> None:
    (user,) = set(instructions("USER"))
    context = pod["spec"]["securityContext"]
    assert context["runAsNonRoot"]
    assert f"{context['runAsUser']}:{context['runAsGroup']}" == user
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["spec"]["enableServiceLinks"] is False


def test_selectors_find_the_pod(pod: dict[str, Any]) -> None:
    labels = pod["metadata"]["labels"]
    assert manifest("deployment.yaml")["spec"]["selector"]["matchLabels"] == labels
    assert manifest("service.yaml")["spec"]["selector"] == labels
    assert manifest("pod-monitor.yaml")["spec"]["selector"]["matchLabels"] == labels


def test_the_overlay_for_gpus_asks_for_one_and_for_the_image_of_gpus(pod: dict[str, Any]) -> None:
    overlay = yaml.safe_load((MANIFESTS.with_name("kubernetes-gpu") / "kustomization.yaml").read_text(encoding="utf-8"))
    assert [(MANIFESTS.with_name("kubernetes-gpu") / path).resolve() for path in overlay["resources"]] == [MANIFESTS]
    (image,) = overlay["images"]
    assert image["name"] == pod["spec"]["containers"][0]["image"].split(":")[0]
    assert f"serving AS {image['newTag']}" in instructions("FROM")
    (patch,) = overlay["patches"]
    (change,) = yaml.safe_load(patch["patch"])
    assert change["path"].endswith("containers/0/resources")
    assert change["value"]["limits"]["nvidia.com/gpu"] == 1
    assert change["value"]["limits"].keys() >= pod["spec"]["containers"][0]["resources"]["limits"].keys()
