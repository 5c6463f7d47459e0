"""Locust in Kubernetes: the manifests are what Kubernetes takes, and their programs load a real server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from deploy.files import HERE
from tests.deploy.crds import check
from tests.replicas.servers import free_port
from tests.system.server import REPOSITORY, ServerProcess, environment

FOLDER = HERE / "locust"
SHORT = {"--run-time=10m": "--run-time=3s", "--users=64": "--users=4", "--prompt-tokens=64": "--prompt-tokens=4"}


def objects(name: str) -> list[dict[str, Any]]:
    """Of a manifest."""
    return list(yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")))


def test_kubernetes_takes_them() -> None:
    for name in ("job.yaml", "distributed.yaml"):
        for made in objects(name):
            check(made)


def command(job: dict[str, Any], server: ServerProcess, folder: Path, port: int) -> list[str]:
    """A pod's program, for this machine, and shorter. It writes to volumes alone, so that a root may be read only."""
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert {mount["mountPath"] for mount in container["volumeMounts"]} <= {"/reports", "/tmp"}
    words = [SHORT.get(word, word) for word in container["args"]]
    words = [word.replace("chat-attendant.prod.svc:50051", server.grpc) for word in words]
    words = [word.replace("/reports", str(folder)).replace("=locust-master", "=127.0.0.1") for word in words]
    words = [word.replace("=locustfile.py", f"={REPOSITORY / 'loadtest' / 'locustfile.py'}") for word in words]
    words = [word.replace("5557", str(port)).replace("--processes=4", "--processes=2") for word in words]
    if "--master" in words or "--processes=2" in words:
        words += [f"--master-bind-port={port}", "--master-bind-host=127.0.0.1", f"--master-port={port}"]
    return [sys.executable, "-m", "locust", *words]


def reports(folder: Path) -> None:
    """What is left of a run."""
    table = (folder / "report_stats.csv").read_text(encoding="utf-8")
    assert "chat/first token" in table
    assert "chat/first token" in (folder / "report.html").read_text(encoding="utf-8")


def start(words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment())


def test_one_pod(server: ServerProcess, tmp_path: Path) -> None:
    (job,) = objects("job.yaml")
    process = start(command(job, server, tmp_path, free_port()))
    told, _ = process.communicate(timeout=300)
    assert process.returncode == 0, told
    reports(tmp_path)


def test_a_master_and_its_workers(server: ServerProcess, tmp_path: Path) -> None:
    service, master, workers = objects("distributed.yaml")
    labels = master["spec"]["template"]["metadata"]["labels"]
    assert service["metadata"]["name"] == "locust-master"
    assert service["spec"]["selector"].items() <= labels.items()
    count = workers["spec"]["completions"]
    assert count == workers["spec"]["parallelism"]
    (container,) = master["spec"]["template"]["spec"]["containers"]
    assert f"--expect-workers={count}" in container["args"]
    port = free_port()
    started = [start(command(each, server, tmp_path, port)) for each in (master, *[workers] * count)]
    try:
        for process in started:
            told, _ = process.communicate(timeout=300)
            assert process.returncode == 0, told
    finally:
        for process in started:
            process.kill()
    reports(tmp_path)
