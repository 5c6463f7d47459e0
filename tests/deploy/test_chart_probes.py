"""A real server runs on the settings that the chart writes, and what the kubelet asks it is answered: it has no token,
no certificate, and speaks gRPC without TLS only."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import grpc
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.deploy.chart import FULL_NAME, Rendering, example, render
from tests.security.authority import row, write_ca, write_identity
from tests.synthetic import make_synthetic_bundle
from tests.system.server import HANGS_S, ServerProcess, serving

CLOSED = {**example("secure"), "tls": {**example("secure")["tls"], "clientCA": True}}
PLACES = {
    "/etc/attendant/tls": "tls",
    "/etc/attendant/callers": "callers",
    "/mnt/models": "models",
    "/models": "models",
}
"""Where volumes are in a container, and here."""


@contextmanager
def running(made: Rendering, folder: Path, name: str = FULL_NAME) -> Iterator[ServerProcess]:
    """A server with the config.yaml of a rendering, whose volumes are folders here."""
    ca = trustme.CA()
    write_identity(folder / "tls", ca, "tls")
    write_ca(folder / "tls", ca, "ca").rename(folder / "tls" / "ca.crt")
    (folder / "callers").mkdir()
    (folder / "callers" / "callers.yaml").write_text(row("team", "secret", ("infer", "metrics")), encoding="utf-8")
    make_synthetic_bundle(folder / "models" / "tiny")
    text = made.config(name)
    for there, here in PLACES.items():
        text = text.replace(f" {there}", f" {folder / here}")
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    with serving(folder / "log", "--config", folder / "config.yaml") as server:
        yield server


def probe(server: ServerProcess, asked: dict[str, Any]) -> bool:
    """Whether the kubelet would take it for a success."""
    if "grpc" in asked:
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc.rpartition(':')[2]}") as channel:
            question = health_pb2.HealthCheckRequest(service=asked["grpc"]["service"])
            stub: Any = health_pb2_grpc.HealthStub(channel)
            reply = stub.Check(question, timeout=HANGS_S)
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)
    return 200 <= status(server, asked["httpGet"]["path"], asked["httpGet"].get("scheme", "HTTP")) < 400


def status(server: ServerProcess, path: str, scheme: str) -> int:
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    url = f"{scheme.lower()}://127.0.0.1:{server.http.rpartition(':')[2]}{path}"
    try:
        return int(urlopen(url, timeout=HANGS_S, context=trusting if scheme == "HTTPS" else None).status)
    except HTTPError as error:
        return error.code


@pytest.mark.parametrize(
    "values", [{"models": {"source": "pvc", "pvc": {"claimName": "c"}}}, CLOSED], ids=["open", "closed"]
)
def test_probes_are_answered(values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = render(values)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for variable in made.container()["env"]:
        monkeypatch.setenv(variable["name"], variable["value"])
    with running(made, tmp_path) as server:
        for name in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert probe(server, made.container()[name]), name
        if values is CLOSED:
            assert status(server, "/version", "HTTPS") == 401, "a probe has no token"
            assert "OPEN TO ANYONE" not in server.log()
    assert not (tmp_path / "home").exists(), "nothing is written beside /tmp, nor kept for ONNX Runtime's maker"


def test_probes_of_the_runtime_for_kserve_are_answered(tmp_path: Path) -> None:
    made = render({**example("kserve"), "auth": {"secretName": "callers"}})
    (container,) = made.one("ServingRuntime")["spec"]["containers"]
    with running(made, tmp_path, f"{FULL_NAME}-kserve") as server:
        for name in ("readinessProbe", "livenessProbe"):
            assert probe(server, container[name]), name
        assert status(server, "/v1/models", "HTTP") == 401
