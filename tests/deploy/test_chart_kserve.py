"""KServe runs the server: by the runtime of the chart, or with an LLMInferenceService; the examples fit both."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from attendant.app import FAREWELL_S

from tests.deploy.chart import EXAMPLES, FULL_NAME, example, render
from tests.deploy.metric_names import samples
from tests.deploy.settings import load_settings
from tests.deploy.test_chart import MATRIX
from tests.deploy.test_chart_server import GO_AWAY_S


@pytest.mark.parametrize("name", ["kserve", "kserve-with-all"])
def test_kserve_finds_http_and_grpc_and_the_settings_are_the_servers(name: str, tmp_path: Path) -> None:
    made = render(MATRIX[name])
    (container,) = made.one("ServingRuntime")["spec"]["containers"]
    assert container["name"] == "kserve-container"
    settings = made.settings(tmp_path, f"{FULL_NAME}-kserve")
    assert settings.bundles == (Path("/mnt/models"),)
    assert [(port["name"], port["containerPort"]) for port in container["ports"]] == [
        ("http", settings.http.port),
        ("grpc", settings.grpc.port),
    ]
    assert settings.tls.certificate is None, "KServe ends TLS before it"
    annotations = made.one("ServingRuntime")["spec"]["annotations"]
    assert annotations["prometheus.kserve.io/port"] == str(settings.http.port)
    assert made.one("ServingRuntime")["spec"]["protocolVersions"] == ["v2", "grpc-v2"]
    probes = {container[probe]["httpGet"]["path"] for probe in ("readinessProbe", "livenessProbe")}
    assert probes == {"/v2/health/ready", "/v2/health/live"}


def test_examples_for_kserve_drain_and_ask_what_is_there(tmp_path: Path) -> None:
    settings = render(example("kserve")).settings(tmp_path, f"{FULL_NAME}-kserve")
    drain_s = settings.lifecycle.drain_delay_s + settings.drain_timeout_s
    runtime = render(example("kserve")).one("ServingRuntime")
    services = list(yaml.safe_load_all((EXAMPLES / "kserve-inference-service.yaml").read_text(encoding="utf-8")))
    for service in services:
        predictor = service["spec"]["predictor"]
        assert predictor["terminationGracePeriodSeconds"] > drain_s + GO_AWAY_S + FAREWELL_S
        assert predictor["model"]["runtime"] == runtime["metadata"]["name"]
        assert predictor["model"]["protocolVersion"] in runtime["spec"]["protocolVersions"]
        formats = {known["name"] for known in runtime["spec"]["supportedModelFormats"]}
        assert predictor["model"]["modelFormat"]["name"] in formats


def test_replicas_of_the_examples_follow_requests_and_no_processor() -> None:
    """KServe goes by the processor wherever an example could scale and does not say by what."""
    services = list(yaml.safe_load_all((EXAMPLES / "kserve-inference-service.yaml").read_text(encoding="utf-8")))
    for service in services:
        predictor = service["spec"]["predictor"]
        if predictor["minReplicas"] == predictor["maxReplicas"]:
            continue
        assert service["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "keda"
        (metric,) = predictor["autoScaling"]["metrics"]
        query = metric["external"]["metric"]["query"]
        names = set(re.findall(r"attendant_\w+", query))
        assert names <= samples(), query
        assert f'pod=~"{service["metadata"]["name"]}-predictor-' in query


def values_of(environment: list[dict[str, str]]) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in environment}


def test_the_example_for_llms_is_understood_by_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (EXAMPLES / "kserve-llm-inference-service.yaml").read_text(encoding="utf-8")
    template = yaml.safe_load(text)["spec"]["template"]
    (container,) = template["containers"]
    for name, value in values_of(container["env"]).items():
        monkeypatch.setenv(name, value)
    command, *words = container["args"]
    assert command == "serve"
    settings = load_settings(*words)
    assert (container["name"], settings.http.port, settings.http.host) == ("main", 8000, "0.0.0.0")
    assert container["readinessProbe"]["httpGet"] == {"path": "/health", "port": 8000, "scheme": "HTTPS"}
    drain_s = settings.lifecycle.drain_delay_s + settings.drain_timeout_s
    assert template["terminationGracePeriodSeconds"] > drain_s + GO_AWAY_S + FAREWELL_S
