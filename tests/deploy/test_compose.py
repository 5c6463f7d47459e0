"""compose.yaml is one that compose takes, and fits the server, Prometheus and the files that it mounts."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from attendant.settings import ServeSettings
from compose_spec import PyCompose

from tests.deploy.prometheus import find
from tests.deploy.settings import load_settings
from tests.deploy.test_deploy import environment, instructions
from tests.system.server import REPOSITORY

FOLDER = REPOSITORY / "deploy" / "docker"
TEXT = (FOLDER / "compose.yaml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, Any] = COMPOSE["services"]


def mounts(service: str) -> dict[str, Path]:
    """Files and folders of this repository that it sees, by path in the container."""
    found = {}
    for volume in SERVICES[service].get("volumes", ()):
        source, target, *mode = volume.split(":")
        if source.startswith("."):
            assert mode == ["ro"], volume
            found[target] = (FOLDER / source).resolve()
    return found


def ports(service: str) -> dict[int, int]:
    """Of the machine, by port in the container; each only for the machine itself."""
    split = [each.split(":") for each in SERVICES[service]["ports"]]
    assert all(host == "127.0.0.1" for host, _, _ in split)
    return {int(inside): int(outside) for _, outside, inside in split}


def test_compose_takes_it() -> None:
    assert PyCompose.from_yaml(TEXT).to_yaml()
    with pytest.raises(ValueError, match="read_onyl"):
        PyCompose.from_yaml(TEXT.replace("read_only", "read_onyl"))


def test_everything_that_is_mounted_exists() -> None:
    found = [path for service in SERVICES for path in mounts(service).values()]
    assert len(found) >= 5
    assert [path for path in found if not path.exists()] == []
    named = {
        volume.split(":")[0] for each in SERVICES.values() for volume in each.get("volumes", ()) if volume[0] != "."
    }
    assert named == COMPOSE["volumes"].keys()


def test_the_server_is_built_and_run_as_the_image_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    server = SERVICES["attendant"]
    build = server["build"]
    assert (FOLDER / build["context"]).resolve() == REPOSITORY
    assert (REPOSITORY / build["dockerfile"]).exists()
    assert build["target"] in [line.split()[-1] for line in instructions("FROM")]
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    assert server["command"] == ["demo"]
    settings = load_settings()
    assert ports("attendant") == {settings.grpc.port: settings.grpc.port, settings.http.port: settings.http.port}
    assert float(server["stop_grace_period"].removesuffix("s")) > settings.drain_timeout_s
    assert server["read_only"]
    assert server["cap_drop"] == ["ALL"]
    (check,) = instructions("HEALTHCHECK")
    assert server["healthcheck"]["test"] == ["CMD", *yaml.safe_load(check[check.index("[") :])]


def test_each_waits_until_what_it_needs_is_well() -> None:
    for name, service in SERVICES.items():
        for needed, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}, name
            assert "healthcheck" in SERVICES[needed]
    assert set(SERVICES["prometheus"]["depends_on"]) == {"attendant"}
    assert set(SERVICES["grafana"]["depends_on"]) == {"prometheus"}


def test_the_commented_lines_serve_bundles() -> None:
    lines = [line.strip().removeprefix("# ") for line in TEXT.splitlines() if line.startswith("    # ")]
    told = yaml.safe_load("\n".join(line for line in lines if line.startswith(("command:", "volumes:"))))
    program, *words = told["command"]
    assert program == "serve"
    (volume,) = told["volumes"]
    assert load_settings(*words).bundles == (Path(volume.split(":")[1]),)


def test_prometheus_asks_the_server_and_grafana_asks_prometheus() -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yaml").read_text(encoding="utf-8"))
    (job,) = config["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"attendant:{ServeSettings().http.port}"]}]
    seen = mounts("grafana")
    (source,) = yaml.safe_load(seen["/etc/grafana/provisioning/datasources/attendant.yaml"].read_text())["datasources"]
    assert source["url"] == f"http://prometheus:{next(iter(ports('prometheus')))}"
    (provider,) = yaml.safe_load(seen["/etc/grafana/provisioning/dashboards/attendant.yaml"].read_text())["providers"]
    assert list(seen[provider["options"]["path"]].glob("*.json"))


@pytest.mark.network
def test_promtool_takes_what_prometheus_sees(tmp_path: Path) -> None:
    for target, source in mounts("prometheus").items():
        shutil.copy(source, tmp_path / Path(target).name)
        assert Path(target).parent == Path("/etc/prometheus")
    config = tmp_path / "prometheus.yaml"
    assert f"--config.file=/etc/prometheus/{config.name}" in SERVICES["prometheus"]["command"]
    done = subprocess.run([find("promtool"), "check", "config", config], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rules found" in done.stdout
