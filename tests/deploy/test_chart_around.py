"""What stands around the pods: services, routes, scaling, monitoring, who may reach them."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from attendant.http.api.openinference.routes import openinference_routes
from attendant.http.api.routes import api_routes
from attendant.metrics import Metrics
from attendant.rpc.server import SERVICES

from deploy.grafana import dashboards
from deploy.names import metrics_of
from deploy.prometheus import groups
from tests.deploy.chart import EXAMPLES, FULL_NAME, NAMESPACE, Rendering, example, render
from tests.deploy.crds import check
from tests.deploy.metric_names import samples
from tests.deploy.test_chart import MATRIX, ON, ROUTED

HEALTH = {"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"}


def ports_of(service: dict[str, Any]) -> dict[str, int]:
    return {port["name"]: port["port"] for port in service["spec"]["ports"]}


# -- services and routes


@pytest.mark.parametrize("values", [{}, example("gateway")])
def test_services_have_the_ports_of_the_container(values: dict[str, Any]) -> None:
    made = render(values)
    containers = {port["name"]: port["containerPort"] for port in made.container()["ports"]}
    for service in made.all("Service"):
        assert ports_of(service) == containers
        assert all(port["targetPort"] == port["name"] for port in service["spec"]["ports"])
    assert made.one("Service", f"{FULL_NAME}-headless")["spec"]["clusterIP"] == "None"


def test_ports_say_that_they_speak_http2_unless_tls_does() -> None:
    def told(values: dict[str, Any]) -> dict[str, str | None]:
        return {port["name"]: port.get("appProtocol") for port in render(values).one("Service")["spec"]["ports"]}

    assert told({}) == {"grpc": "kubernetes.io/h2c", "http": "http"}
    assert told(example("secure")) == {"grpc": None, "http": None}


LOADS = "xds.service.orca.v3.OpenRcaService"
"""Of one server: balancers ask it of each, and nobody through them."""


def test_every_service_of_the_server_is_routed_to_its_port() -> None:
    made = render(example("gateway"))
    route = made.one("GRPCRoute")
    matches = [match["method"]["service"] for rule in route["spec"]["rules"] for match in rule["matches"]]
    assert {*matches} == {*SERVICES} - {LOADS} | HEALTH
    assert len(matches) == len({*matches})
    port = ports_of(made.one("Service"))["grpc"]
    assert [rule["backendRefs"] for rule in route["spec"]["rules"]] == [[{"name": FULL_NAME, "port": port}]] * 4


def test_a_port_of_one_model_has_a_route_and_a_name_of_its_own() -> None:
    route = render(example("gateway")).one("GRPCRoute", f"{FULL_NAME}-vllm-50061")
    (rule,) = route["spec"]["rules"]
    assert rule["backendRefs"] == [{"name": FULL_NAME, "port": 50061}]
    assert {match["method"]["service"] for match in rule["matches"]} == {"vllm.grpc.engine.VllmEngine"} | HEALTH
    assert route["spec"]["hostnames"] == ["support.models.example.org"]


def test_http_is_routed_without_its_inside_and_without_an_end_of_streams() -> None:
    pool, rest = render(example("gateway")).one("HTTPRoute")["spec"]["rules"]
    assert pool["backendRefs"] == [{"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": FULL_NAME}]
    prefixes = {match["path"]["value"] for match in rest["matches"]}

    def is_routed(path: str) -> bool:
        return any(path == prefix or path.startswith(f"{prefix}/") for prefix in prefixes)

    def ready() -> Any:
        raise AssertionError("no call is made")

    apis = {route.path for route in (*api_routes(ready), *openinference_routes(ready))}
    assert not [path for path in apis | {"/health"} if not is_routed(path)]
    assert not [path for path in ("/", "/metrics", "/metrics/load", "/page/events", "/docs") if is_routed(path)]
    assert pool["timeouts"] == rest["timeouts"] == {"request": "0s"}


def test_a_gateway_speaks_tls_to_a_server_that_has_it() -> None:
    policy = render(MATRIX["tls-behind-a-gateway"]).one("BackendTLSPolicy")["spec"]
    assert policy["targetRefs"] == [{"group": "", "kind": "Service", "name": FULL_NAME}]
    assert policy["validation"]["hostname"] == f"{FULL_NAME}.{NAMESPACE}.svc"
    assert not render(gateway=ROUTED).all("BackendTLSPolicy")
    behind = render(MATRIX["tls-behind-a-picker"])
    policies = [policy["spec"] for policy in behind.all("BackendTLSPolicy")]
    assert [[target["kind"] for target in policy["targetRefs"]] for policy in policies] == [
        ["Service"],
        ["InferencePool"],
    ]
    assert {policy["validation"]["hostname"] for policy in policies} == {"models.internal"}
    config = yaml.safe_load(behind.one("ConfigMap", f"{FULL_NAME}-picker")["data"]["attendant.yaml"])
    check(config)
    source = config["plugins"][0]["parameters"]
    assert (source["scheme"], source["insecureSkipVerify"], source["caCertPath"]) == ("https", False, "/ca.crt")


def test_a_certificate_has_the_names_under_which_pods_are_called() -> None:
    names = render(example("secure")).one("Certificate")["spec"]["dnsNames"]
    for service in (FULL_NAME, f"{FULL_NAME}-headless"):
        assert {service, f"{service}.{NAMESPACE}.svc"} <= {*names}


# -- endpoint pickers


def test_a_pool_has_the_pods_and_its_picker_reads_what_they_tell() -> None:
    made = render(example("gateway"))
    pool = made.one("InferencePool")["spec"]
    labels = made.pod()["metadata"]["labels"]
    assert pool["selector"]["matchLabels"].items() <= labels.items()
    assert pool["targetPorts"] == [{"number": ports_of(made.one("Service"))["http"]}]
    config = yaml.safe_load(made.one("ConfigMap", f"{FULL_NAME}-picker")["data"]["attendant.yaml"])
    check(config)
    plugins = {plugin["type"]: plugin.get("parameters", {}) for plugin in config["plugins"]}
    assert plugins["metrics-data-source"]["path"] == "/metrics/load"
    used = [part["pluginRef"] for profile in config["schedulingProfiles"] for part in profile["plugins"]]
    assert {*used} <= {*plugins}
    # The picker takes pods for a vLLM, whose names /metrics/load has.
    assert labels["llm-d.ai/engine-type"] == plugins["core-metrics-extractor"]["defaultEngine"] == "vllm"
    page = Metrics().render_load()[0].decode()
    for name in ("num_requests_waiting", "num_requests_running", "kv_cache_usage_perc", "cache_config_info"):
        assert f"vllm:{name}" in page


def test_the_example_for_llms_has_a_configuration_that_its_picker_takes() -> None:
    text = (EXAMPLES / "kserve-llm-inference-service.yaml").read_text(encoding="utf-8")
    config = yaml.safe_load(text)["spec"]["router"]["scheduler"]["config"]["inline"]
    check(config)
    (source,) = (plugin for plugin in config["plugins"] if plugin["type"] == "metrics-data-source")
    assert (source["parameters"]["scheme"], source["parameters"]["path"]) == ("https", "/metrics/load")


# -- scaling


def queries(made: Rendering) -> dict[str, tuple[str, str, str]]:
    """Of each trigger: kind of target, target, query."""
    found = {}
    for trigger in made.one("ScaledObject")["spec"]["triggers"]:
        metadata = trigger["metadata"]
        found[trigger["name"]] = (trigger["metricType"], metadata["threshold"], metadata["query"])
    return found


def test_replicas_follow_waits_and_requests_and_no_processor() -> None:
    made = render(example("keda"))
    told = queries(made)
    assert {name: part[:2] for name, part in told.items()} == {
        "queueSeconds": ("Value", "0.5"),  # a time is not shared out among replicas
        "ttftSeconds": ("Value", "1"),
        "requestsPerReplica": ("AverageValue", "12"),
    }
    for _, _, query in told.values():
        assert {*metrics_of(query)} <= samples()
    assert "replicas" not in made.one("Deployment")["spec"], "an upgrade would set them back"
    assert made.one("ScaledObject")["spec"]["scaleTargetRef"]["name"] == FULL_NAME


def test_scaling_reads_the_job_that_the_monitor_writes_and_alerts_look_for() -> None:
    made = render(example("keda"))
    (endpoint,) = made.one("PodMonitor")["spec"]["podMetricsEndpoints"]
    (relabeling,) = endpoint["relabelings"]
    job = relabeling["replacement"]
    assert relabeling["targetLabel"] == "job"
    assert all(f'{{job="{job}"}}' in query for _, _, query in queries(made).values())
    assert 'job=~".*attendant.*"' in str(groups())
    assert job == "attendant.prod.chat-attendant"


def test_the_job_is_one_that_alerts_and_selectors_take_whatever_the_name() -> None:
    values = {**example("hpa"), "fullnameOverride": "a-name-that-is-longer-than-those-of-other-peoples-releases"}
    (metric, *_) = render(values).one("HorizontalPodAutoscaler", values["fullnameOverride"][:46])["spec"]["metrics"]
    job = metric["external"]["metric"]["selector"]["matchLabels"]["job"]
    assert re.fullmatch(r"attendant\.[-\w.]{0,52}[A-Za-z0-9]", job)


def test_the_hpa_asks_the_adapter_for_what_keda_asks_prometheus_for() -> None:
    values = example("hpa")
    asked = {
        metric["external"]["metric"]["name"]: metric["external"]
        for metric in render(values).one("HorizontalPodAutoscaler")["spec"]["metrics"]
    }
    adapter = yaml.safe_load((EXAMPLES / "prometheus-adapter.yaml").read_text(encoding="utf-8"))
    rules = {rule["name"]["as"]: rule for rule in adapter["rules"]["external"]}
    assert asked.keys() == rules.keys()
    by_keda = queries(render({**values, "autoscaling": {**values["autoscaling"], "kind": "keda"}}))
    jobs = {external["metric"]["selector"]["matchLabels"]["job"] for external in asked.values()}
    (job,) = jobs
    written = {
        rule["metricsQuery"].replace("<<.Series>>", rule["seriesQuery"]).replace("<<.LabelMatchers>>", f'job="{job}"')
        for rule in rules.values()
    }
    assert written == {query for _, _, query in by_keda.values()}
    targets = {name: external["target"] for name, external in asked.items()}
    assert targets["attendant_queue_seconds"] == {"type": "Value", "value": "0.5"}
    assert targets["attendant_requests_per_replica"] == {"type": "AverageValue", "averageValue": "12"}


# -- monitoring


def test_prometheus_is_given_the_rules_that_are_tested() -> None:
    rule = render(monitoring={"prometheusRule": {**ON, "labels": {"release": "p"}}}).one("PrometheusRule")
    assert rule["spec"]["groups"] == groups()
    assert rule["metadata"]["labels"]["release"] == "p"


def test_each_dashboard_is_a_config_map_that_grafana_finds() -> None:
    made = render(server={"enabled": False}, monitoring={"dashboards": ON})
    texts = {name: text for one in made.all("ConfigMap") for name, text in one["data"].items()}
    assert {name: yaml.safe_load(text) for name, text in texts.items()} == {
        f"{uid}.json": board for uid, board in dashboards().items()
    }
    assert all(one["metadata"]["labels"]["grafana_dashboard"] == "1" for one in made.all("ConfigMap"))
    assert all(len(text) < 250_000 for text in texts.values()), "kubectl apply's own limit"


def test_the_monitor_of_a_closed_server_has_a_token_and_knows_its_certificate() -> None:
    made = render(example("secure"))
    (endpoint,) = made.one("PodMonitor")["spec"]["podMetricsEndpoints"]
    assert endpoint["scheme"] == "https"
    assert endpoint["authorization"]["credentials"]["name"] == "prometheus-token"
    assert endpoint["tlsConfig"]["serverName"] in made.one("Certificate")["spec"]["dnsNames"]
    assert {port["name"] for port in made.container()["ports"]} >= {endpoint["port"]}


# -- the network


def test_a_network_lets_in_whom_it_is_told_to_and_at_the_servers_ports_only() -> None:
    made = render(example("secure"))
    policy = made.one("NetworkPolicy")["spec"]
    ports = ports_of(made.one("Service"))
    clients, test, metrics = policy["ingress"]
    assert {port["port"] for port in clients["ports"]} == {*ports.values()}
    assert clients["from"] == example("secure")["networkPolicy"]["clients"]
    assert [port["port"] for port in metrics["ports"]] == [ports["http"]]
    (asks,) = made.all("Pod")
    assert test["from"][0]["podSelector"]["matchLabels"] == asks["metadata"]["labels"]
    assert asks["spec"]["containers"][0]["args"][2].endswith(f":{test['ports'][0]['port']}")
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    (everyone,) = render().one("NetworkPolicy")["spec"]["ingress"]
    assert "from" not in everyone
    assert render(networkPolicy={"egress": []}).one("NetworkPolicy")["spec"]["egress"] == []
    assert render().one("NetworkPolicy")["spec"]["policyTypes"] == ["Ingress"]
