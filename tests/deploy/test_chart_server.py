"""The pod that the chart makes: its settings are the server's, its probes find their paths, it has time to leave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attendant.app import FAREWELL_S
from attendant.rpc.server import SERVICES
from attendant.security.kept import Kept
from pydantic import ByteSize, TypeAdapter

from tests.deploy.chart import Rendering, example, render
from tests.deploy.test_chart import MATRIX, ON, PVC

SERVED = {name: values for name, values in MATRIX.items() if values.get("server", ON)["enabled"]}
GO_AWAY_S = 10
"""What a server takes at most besides its drain: for telling clients to go, and for saying goodbye."""


@pytest.mark.parametrize("name", SERVED)
def test_the_server_understands_its_settings(name: str, tmp_path: Path) -> None:
    made = render(SERVED[name])
    settings = made.settings(tmp_path)
    container, pod = made.container(), made.pod()["spec"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    engines = [engine.split("=")[0] for engine in settings.vllm_engine]
    assert ports == {
        "grpc": settings.grpc.port,
        "http": settings.http.port,
        **{f"vllm-{port}": int(port) for port in engines},
    }
    assert settings.grpc.host == settings.http.host == "0.0.0.0"
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert mounts.keys() == {volume["name"] for volume in pod["volumes"]}
    paths = [*settings.bundles, settings.model_repository, settings.routes, settings.prepared_weights]
    paths += [settings.tls.certificate, settings.tls.key, settings.tls.client_ca, settings.auth.tokens]
    for path in filter(None, paths):
        assert any(path.is_relative_to(mount["mountPath"]) for mount in mounts.values()), path
    assert {name for name, mount in mounts.items() if not mount.get("readOnly")} <= {"tmp", "prepared"}
    assert not any("subPath" in mounts[name] for name in ("tls", "callers") if name in mounts), (
        "such files never change"
    )


@pytest.mark.parametrize("name", SERVED)
def test_the_grace_period_outlasts_the_drain(name: str, tmp_path: Path) -> None:
    made = render(SERVED[name])
    settings = made.settings(tmp_path)
    drain_s = settings.lifecycle.drain_delay_s + settings.drain_timeout_s
    assert settings.lifecycle.drain_delay_s >= 5, "clients have to hear that the pod leaves"
    assert made.pod()["spec"]["terminationGracePeriodSeconds"] > drain_s + GO_AWAY_S + FAREWELL_S


def test_a_longer_drain_has_a_longer_grace_period(tmp_path: Path) -> None:
    made = render(config={"drain_timeout_s": 600.5, "lifecycle": {"drain_delay_s": 15}})
    assert made.pod()["spec"]["terminationGracePeriodSeconds"] == 616 + 25


def test_config_goes_before_what_the_chart_sets_also_with_nothing_and_no(tmp_path: Path) -> None:
    config = {
        "lifecycle": {"drain_delay_s": 0, "max_restarts": 1},
        "http": {"api": False, "port": 8080},
        "grpc": {"max_connection_age_s": None},
        "limits": {"max_text_characters": 67108864},
        "engine": {"threads": 3},
        "verify_bundles": False,
        "slo": {"objectives": ["ttft 1s p99"]},
    }
    settings = render(config=config).settings(tmp_path)
    assert settings.lifecycle.drain_delay_s == 0
    assert settings.lifecycle.watchdog_exit_s == 0, "others of the section stay"
    assert settings.grpc.max_connection_age_s is None
    assert settings.limits.max_text_characters == 67108864
    assert (settings.engine.threads, settings.encoder.threads) == (3, 4)
    assert not settings.verify_bundles
    assert render(config=config).container()["livenessProbe"]["tcpSocket"] == {"port": "http"}


@pytest.mark.parametrize(
    ("request_", "threads"), [("4", 4), (4, 4), ("4500m", 4), ("500m", 1), ("2.5", 2), (0.5, 1), (None, None)]
)
def test_threads_are_the_processors_that_were_asked_for(request_: Any, threads: int | None, tmp_path: Path) -> None:
    """Without a processor limit a process may use all of a node's: it would start as many threads."""
    settings = render(resources={"requests": {"cpu": request_}}).settings(tmp_path)
    assert settings.engine.threads == settings.encoder.threads == threads


def test_memory_has_a_limit_and_processors_have_none() -> None:
    resources = render().container()["resources"]
    assert resources["limits"].keys() == {"memory"}
    assert resources["limits"]["memory"] == resources["requests"]["memory"]
    assert TypeAdapter(ByteSize).validate_python(resources["limits"]["memory"] + "B") > 2**30


def test_large_numbers_stay_numbers() -> None:
    """Helm's own way of writing them is 6.7108864e+07."""
    assert "max_text_characters: 67108864" in render(config={"limits": {"max_text_characters": 67108864}}).config()


# -- probes


def test_probes_speak_grpc_to_a_service_that_health_knows() -> None:
    container = render().container()
    for name in ("startupProbe", "readinessProbe"):
        assert container[name]["grpc"] == {"port": 50051, "service": "attendant.v1.Generation"}
    assert "attendant.v1.Generation" in SERVICES
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] == 600
    assert render().one("Deployment")["spec"]["progressDeadlineSeconds"] > 600, "or a rollout fails that only loads"
    assert render(probes={"service": "", "startupSeconds": 61}).container()["startupProbe"]["failureThreshold"] == 31


@pytest.mark.parametrize("values", [example("secure"), {"config": {"tls": {"certificate": "/c", "key": "/k"}}}])
def test_with_tls_probes_ask_http_since_the_kubelet_speaks_grpc_without_tls_only(values: dict[str, Any]) -> None:
    container = render(values).container()
    for name in ("startupProbe", "readinessProbe"):
        assert container[name]["httpGet"] == {"path": "/healthz", "port": "http", "scheme": "HTTPS"}
    assert container["livenessProbe"]["httpGet"] == {"path": "/v2/health/live", "port": "http", "scheme": "HTTPS"}


# -- what a pod may do, and where it runs


@pytest.mark.parametrize("name", SERVED)
def test_a_pod_may_do_nothing_it_need_not(name: str) -> None:
    made = render(SERVED[name])
    for pod in (made.pod()["spec"], *(test["spec"] for test in made.all("Pod"))):
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False, "they would set ATTENDANT_ variables"
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in (*pod["containers"], *pod.get("initContainers", ())):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["runAsUser"] > 0
            assert context["capabilities"] == {"drop": ["ALL"]}
            mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
            assert mounts["tmp"] == "/tmp"


@pytest.mark.parametrize("name", SERVED)
def test_onnx_runtime_tells_its_maker_nothing(name: str) -> None:
    variables = {variable["name"]: variable.get("value") for variable in render(SERVED[name]).container()["env"]}
    assert variables["ORT_DISABLE_TELEMETRY"] == "1"


def test_secrets_are_files_that_the_user_of_the_pod_may_read() -> None:
    made = render(example("secure"))
    pod = made.pod()["spec"]
    secrets = {volume["name"]: volume["secret"] for volume in pod["volumes"] if "secret" in volume}
    assert {name: secret["secretName"] for name, secret in secrets.items()} == {
        "tls": made.one("Certificate")["spec"]["secretName"],
        "callers": "callers",
    }
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]
    assert {secret["defaultMode"] for secret in secrets.values()} == {0o440}


def test_a_secret_that_the_kubelet_changes_is_read_again(tmp_path: Path) -> None:
    """It writes a new folder, and turns the link by which all of its files are found."""
    for version in ("1", "2"):
        (tmp_path / f"..{version}").mkdir()
        (tmp_path / f"..{version}" / "callers.yaml").write_text(version, encoding="utf-8")
    (tmp_path / "..data").symlink_to("..1")
    callers = tmp_path / "callers.yaml"
    callers.symlink_to("..data/callers.yaml")
    kept = Kept("callers", [callers], lambda: callers.read_text(encoding="utf-8"))
    assert not kept.follow()
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    assert kept.follow()
    assert kept.value == "2"


def test_pods_are_spread_and_go_one_by_one() -> None:
    made = render()
    labels = made.pod()["metadata"]["labels"]
    spread = made.pod()["spec"]["topologySpreadConstraints"]
    assert {part["topologyKey"] for part in spread} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    selectors = [part["labelSelector"]["matchLabels"] for part in spread]
    selectors += [made.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"]]
    selectors += [made.one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"]]
    selectors += [made.one("Deployment")["spec"]["selector"]["matchLabels"]]
    selectors += [service["spec"]["selector"] for service in made.all("Service")]
    assert all(selector.items() <= labels.items() for selector in selectors)
    assert labels.items() >= selectors[0].items()
    assert made.one("Deployment")["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert render(strategy={"type": "Recreate"}).one("Deployment")["spec"]["strategy"] == {"type": "Recreate"}


def test_a_change_of_the_settings_rolls_the_pods_and_a_new_chart_does_not() -> None:
    def template(**values: Any) -> dict[str, Any]:
        return render(**values).pod()

    assert template()["metadata"] == template()["metadata"]
    assert template()["metadata"] != template(config={"log_level": "debug"})["metadata"]
    assert template()["metadata"] != template(routes={"a": {"kind": "alias", "model": "demo"}})["metadata"]
    assert "helm.sh/chart" not in template()["metadata"]["labels"]


# -- models


def test_models_come_from_a_claim_a_container_or_an_image() -> None:
    def volume(models: dict[str, Any]) -> tuple[Rendering, dict[str, Any]]:
        made = render(models=models)
        (found,) = (each for each in made.pod()["spec"]["volumes"] if each["name"] == "models")
        return made, found

    _, claim = volume(PVC)
    assert claim["persistentVolumeClaim"] == {"claimName": "bundles", "readOnly": True}
    made, empty = volume(example("secure")["models"])
    assert "emptyDir" in empty
    (init,) = made.pod()["spec"]["initContainers"]
    writes = {mount["name"]: mount for mount in init["volumeMounts"]}["models"]
    assert writes["mountPath"] == "/models"
    assert not writes.get("readOnly")
    _, image = volume(example("keda")["models"])
    assert image["image"] == {"reference": "registry.example.org/bundles/support:3", "pullPolicy": "IfNotPresent"}


def test_without_models_the_demo_is_served(tmp_path: Path) -> None:
    settings = render().settings(tmp_path)
    assert settings.demo
    assert not settings.bundles


def test_a_folder_may_be_a_model_repository(tmp_path: Path) -> None:
    settings = render(models={**PVC, "repository": True}).settings(tmp_path)
    assert settings.model_repository == Path("/models")
    assert not settings.bundles
    assert not settings.demo


# -- devices


def test_a_pod_on_gpus_asks_for_them_and_uses_all(tmp_path: Path) -> None:
    made = render(MATRIX["several-gpus"])
    container, pod = made.container(), made.pod()["spec"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 4
    assert container["resources"]["limits"]["memory"]
    assert container["image"] == "attendant:gpu"
    assert made.settings(tmp_path).gpu.devices == (0, 1, 2, 3)
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert pod["nodeSelector"] == {"gpu": "h200"}
    assert {"name": "CUDA_CACHE_PATH", "value": "/tmp/cuda"} in container["env"]


def test_one_gpu_is_the_servers_default(tmp_path: Path) -> None:
    made = render(example("gpu"))
    assert made.settings(tmp_path).gpu.devices is None
    assert made.pod()["spec"]["runtimeClassName"] == "nvidia"


def test_on_a_processor_nothing_of_gpus_is_there() -> None:
    pod = render(gpu={"runtimeClassName": "nvidia", "count": 4}).pod()["spec"]
    assert not {"tolerations", "nodeSelector", "runtimeClassName"} & pod.keys()
    assert "nvidia" not in json.dumps(pod)
