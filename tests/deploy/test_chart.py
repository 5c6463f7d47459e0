"""Every rendering of the chart is what Kubernetes takes, and what does not go together is refused before that."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml

from tests.deploy.chart import CHART, EXAMPLES, NAMESPACE, example, helm, render
from tests.deploy.crds import check, schemas

EXAMPLE_NAMES = sorted(path.stem for path in (EXAMPLES / "values").iterdir())
PVC: dict[str, Any] = {"source": "pvc", "pvc": {"claimName": "bundles"}}
ON = {"enabled": True}
ROUTED = {
    **ON,
    "parentRefs": [{"name": "g"}],
    "grpc": {"hostnames": ["g.example"]},
    "http": {"hostnames": ["h.example"]},
}

OLDEST, IMAGES, NEWEST = "1.29", "1.33", "1.37"
"""Of Kubernetes: the oldest that the chart takes, the first that mounts images, and the newest with schemas here."""

MATRIX: dict[str, dict[str, Any]] = {
    "default": {},
    **{name: example(name) for name in EXAMPLE_NAMES},
    "all-off": {
        **{name: {"enabled": False} for name in ("podDisruptionBudget", "topologySpread", "networkPolicy")},
        "service": {"headless": False},
    },
    "nothing": {"server": {"enabled": False}},
    "several-gpus": {"device": "gpu", "models": PVC, "gpu": {"count": 4, "nodeSelector": {"gpu": "h200"}}},
    "certificates-of-callers": {
        "tls": {**ON, "secretName": "cert", "clientCA": True},
        "auth": {"metrics": "open"},
        "monitoring": {"podMonitor": ON},
    },
    "tls-behind-a-gateway": {
        "tls": {**ON, "secretName": "cert"},
        "gateway": {**ROUTED, "backendTLS": {"caConfigMap": "authority"}},
    },
    "tls-behind-a-picker": {
        "tls": {**ON, "secretName": "cert"},
        "inferencePool": {**ON, "endpointPicker": {"service": "epp", "caCertPath": "/ca.crt"}},
        "gateway": {**ROUTED, "backendTLS": {"caConfigMap": "authority", "hostname": "models.internal"}},
    },
    "recreated": {"strategy": {"type": "Recreate"}},
    "grpc-alone": {"gateway": {**ON, "parentRefs": [{"name": "g"}], "http": {"enabled": False}}},
    "http-alone": {"gateway": {**ON, "parentRefs": [{"name": "g"}], "grpc": {"enabled": False}}},
    "image-in-a-folder": {"models": {"source": "image", "image": {"reference": "m@sha256:0", "subPath": "bundles"}}},
    "everything-of-a-pod": {
        "image": {"repository": "r.example/attendant", "digest": "sha256:" + "a" * 64, "pullSecrets": [{"name": "s"}]},
        "extraEnv": [{"name": "TZ", "value": "UTC"}],
        "extraVolumes": [{"name": "prepared", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "prepared", "mountPath": "/prepared"}],
        "config": {"prepared_weights": "/prepared", "strict": True},
        "nodeSelector": {"a": "b"},
        "tolerations": [{"key": "k", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "high",
        "podLabels": {"team": "a"},
        "podAnnotations": {"note": "b"},
        "serviceAccount": {"create": True, "annotations": {"role": "r"}},
        "service": {"type": "LoadBalancer", "annotations": {"internal": "true"}},
        "networkPolicy": {"egress": []},
        "routes": {"assistant": {"kind": "alias", "model": "demo"}},
    },
    "kserve-with-all": {
        **example("kserve"),
        "device": "gpu",
        "models": PVC,
        "tls": {**ON, "secretName": "c", "clientCA": True},
        "auth": {"secretName": "callers"},
        "routes": {"assistant": {"kind": "alias", "model": "support"}},
        "image": {"pullSecrets": [{"name": "s"}]},
    },
}


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", MATRIX)
def test_every_object_is_one_that_kubernetes_takes(name: str, version: str) -> None:
    """The newest, and the oldest that the chart is for; volumes of images are younger."""
    objects = render(MATRIX[name]).objects
    is_younger = MATRIX[name].get("models", {}).get("source") == "image"
    for made in objects:
        check(made, IMAGES if is_younger and version == OLDEST else version)
    keys = [(made["kind"], made["metadata"]["namespace"], made["metadata"]["name"]) for made in objects]
    assert len(keys) == len(set(keys))
    for made in objects:
        metadata = made["metadata"]
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", metadata["name"])
        assert len(metadata["name"]) <= 63
        assert metadata["namespace"] in (NAMESPACE, "monitoring")
        assert metadata["labels"]["app.kubernetes.io/instance"] == "chat"
    assert bool(objects) == (name != "nothing")


def test_the_matrix_has_every_kind_that_the_chart_writes() -> None:
    """Each kind of a template is rendered by one of the matrix, and each schema that was written down is asked."""
    texts = [path.read_text(encoding="utf-8") for path in (CHART / "templates").rglob("*.yaml")]
    written = {kind for text in texts for kind in re.findall(r"^kind: (\w+)$", text, re.MULTILINE)}
    rendered = {made["kind"] for values in MATRIX.values() for made in render(values).objects}
    assert written == rendered
    examples = {made["kind"] for path in KSERVE for made in _documents(path)}
    assert {kind for _, kind in schemas()} == (rendered - CORE_KINDS) | examples | {"EndpointPickerConfig"}


CORE_KINDS = {
    *("ConfigMap", "Deployment", "HorizontalPodAutoscaler", "NetworkPolicy", "Pod", "PodDisruptionBudget"),
    *("Service", "ServiceAccount"),
}
KSERVE = sorted(EXAMPLES.glob("kserve-*.yaml"))


@pytest.mark.parametrize("path", KSERVE, ids=lambda path: path.stem)
def test_examples_for_kserve_are_what_it_takes(path: Any) -> None:
    for made in _documents(path):
        check(made)


def test_a_schema_refuses_what_is_mistyped() -> None:
    """One wrong field of each kind that was written down, and of the core kinds that they lean on."""
    seen = set()
    for values in MATRIX.values():
        for made in render(values).objects:
            if "spec" in made and made["kind"] not in seen:
                seen.add(made["kind"])
                broken = json.loads(json.dumps(made))
                broken["spec"]["fieldThatIsNot"] = 1
                with pytest.raises(Exception, match="fieldThatIsNot"):
                    check(broken)
    assert len(seen) > 10
    runtime = json.loads(json.dumps(render(example("kserve")).one("ServingRuntime")))
    runtime["spec"]["containers"][0]["livenessProb"] = {}
    with pytest.raises(jsonschema.ValidationError, match="livenessProb"):
        check(runtime)


def _documents(path: Any) -> Iterator[dict[str, Any]]:
    yield from yaml.safe_load_all(path.read_text(encoding="utf-8"))


# -- values


def test_helm_finds_nothing_to_say_against_it() -> None:
    said = helm.lint(CHART)
    assert not said["errors"]
    assert [message for message in said["messages"] if message["severity"] > 1] == []


def test_every_value_is_in_the_schema_and_explained() -> None:
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    values = yaml.safe_load(text)
    assert {*schema["properties"]} - {"global"} == {*values}
    parts = re.split(r"^(?=[a-zA-Z#])", text, flags=re.MULTILINE)
    pairs = zip(["", *parts], parts, strict=False)
    silent = {part.split(":")[0] for above, part in pairs if "#" not in part and not above.startswith("#")}
    assert silent - {""} <= AS_IN_A_POD

    def walk(found: dict[str, Any], known: dict[str, Any], place: str) -> None:
        for name, value in found.items():
            assert name in known.get("properties", {}), f"{place}{name}"
            below = known["properties"][name]
            if isinstance(value, dict) and "properties" in below:
                walk(value, below, f"{place}{name}.")
                assert not below["properties"].keys() - value.keys() or name in OPEN_ENDED, f"{place}{name}"

    walk(values, schema, "")


AS_IN_A_POD = {
    *("nodeSelector", "tolerations", "affinity", "priorityClassName", "podLabels", "podAnnotations"),
    "serviceAccount",
}
OPEN_ENDED = {"issuerRef", "config", "strategy", "timeouts", "resources"}
"""Sections of which values.yaml does not have every name."""


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"replica": 3}, "replica"),
        ({"device": "tpu"}, "device"),
        ({"config": {"engine": {"max_num_sequences": 3}}}, "max_num_sequences"),
        ({"config": {"engin": {}}}, "engin"),
        ({"models": {"source": "s3"}}, "source"),
        ({"resources": {"requests": {"cpu": "four"}}}, "cpu"),
        ({"graceSlackSeconds": 3}, "graceSlackSeconds"),
        ({"tls": {"clientCertificates": "required"}}, "clientCertificates"),
        ({"autoscaling": {"targets": {"cpu": 80}}}, "cpu"),
        ({"image": {"digest": "latest"}}, "digest"),
        ({"probes": {"readiness": {"periodSecond": 3}}}, "periodSecond"),
        ({"config": {"vllm_engine": ["50061=support"]}}, "vllm_engine"),
        ({"extraEnv": [{"name": "ATTENDANT_GRPC__PORT", "value": "1"}]}, "extraEnv"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_values_that_there_are_not_are_refused_by_their_name(values: dict[str, Any], said: str) -> None:
    with pytest.raises(helm.HelmError, match=said):
        render(values)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"models": {"source": "pvc"}}, "claimName"),
        ({"models": {"source": "init"}}, "models.init.image"),
        ({"models": {"source": "image"}}, "models.image.reference"),
        ({"device": "gpu"}, "bundles of target cuda"),
        ({"tls": ON}, "tls.secretName"),
        ({"tls": {"certManager": ON}}, "tls.certManager"),
        ({"tls": {**ON, "certManager": ON}}, "issuerRef"),
        ({"tls": {"clientCA": True}}, "tls.clientCA"),
        ({"config": {"tls": {"client_certificates": "required"}}}, "no certificate"),
        ({"config": {"grpc": {"host": "127.0.0.1"}}}, "config.grpc.host is 127.0.0.1"),
        ({"auth": {"secretName": "s"}, "monitoring": {"podMonitor": ON}}, "podMonitor.authorization"),
        ({"inferencePool": ON}, "endpointPicker.service"),
        ({"inferencePool": {**ON, "endpointPicker": {"service": "e"}}, "auth": {"secretName": "s"}}, "/metrics/load"),
        ({"autoscaling": {**ON, "minReplicas": 9, "maxReplicas": 3}}, "minReplicas is 9"),
        (
            {"autoscaling": {**ON, "targets": {"queueSeconds": None, "ttftSeconds": None, "requestsPerReplica": None}}},
            "null",
        ),
        ({"autoscaling": {**ON, "targets": {"requestsPerReplica": None}, "keda": {"fallbackReplicas": 3}}}, "fallback"),
        ({"gateway": ON}, "parentRefs"),
        ({"gateway": {**ON, "parentRefs": [{"name": "g"}]}}, "share names"),
        ({"gateway": {**ROUTED, "http": {"hostnames": ["g.example"]}}}, "share names"),
        ({"gateway": ROUTED, "tls": {**ON, "secretName": "c"}}, "backendTLS.caConfigMap"),
        ({"gateway": {**ROUTED, "vllm": {"hostnames": {"50061": ["v.example"]}}}}, "config.vllm_engine"),
        ({"kserve": ON, "config": {"vllm_engine": {"50061": "m"}}}, "vllm_engine"),
    ],
    ids=lambda part: part.replace("/", "-") if isinstance(part, str) else "",
)
def test_values_that_do_not_go_together_are_refused_with_what_is_allowed(values: dict[str, Any], said: str) -> None:
    with pytest.raises(helm.HelmError, match=re.escape(said)) as caught:
        render(values)
    assert "allowed" in str(caught.value)


def test_images_are_mounted_by_clusters_that_can(capfd: pytest.CaptureFixture[str]) -> None:
    values = {"models": {"source": "image", "image": {"reference": "m:1"}}}
    helm.lint(CHART, values, kube_version=f"v{IMAGES}.0")
    assert "allowed" not in capfd.readouterr().err
    helm.lint(CHART, values, kube_version="v1.32.9")
    assert "models.source is image, and Kubernetes is v1.32.9; allowed: 1.33 or newer" in capfd.readouterr().err
    needs = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["kubeVersion"]
    assert needs == f">={OLDEST}.0-0"


def test_notes_warn_where_anybody_may_call() -> None:
    assert "OPEN TO ANYONE" in render().notes
    assert "demo models" in render().notes
    assert "OPEN TO ANYONE" not in render(example("secure")).notes
