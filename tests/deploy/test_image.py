"""The image for processors is built, and its demo is run in it as a cluster would: by nobody, able to write nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from attendant import __version__
from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import generation_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.supply import LOCKS
from tests.deploy.containers import Container, Containers, containers
from tests.system.server import HANGS_S, eventually, request

pytestmark = pytest.mark.network
MOST = 350_000_000
"""Bytes that the image may add to its base, unpacked."""
(CPU,) = (lock for lock in LOCKS if lock.image == "cpu")


@pytest.fixture(scope="module")
def store() -> Containers:
    return containers()


@pytest.fixture(scope="module")
def image(store: Containers) -> str:
    return store.build("cpu")


@pytest.fixture(scope="module")
def demo(store: Containers, image: str) -> Iterator[Container]:
    """The demo, once it serves; with processes of its own, which might want files to meet in."""
    with store.running(image, "demo", "--engine.process", "--chat.given-templates") as running:
        eventually(running.is_well)
        yield running


def test_it_adds_little_to_its_base(store: Containers, image: str) -> None:
    layers = store.layers(image)
    assert 100_000_000 < sum(layers) < MOST, layers
    *small, packages = layers
    assert sum(small) < packages / 5, "what a release changes is a small layer above the packages"


def test_it_says_what_it_is(store: Containers, image: str) -> None:
    config = store.config(image)
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
    assert (labels["title"], labels["version"], labels["revision"]) == ("Attendant", __version__, "tested")
    assert (config["User"], config["Entrypoint"], config["Cmd"]) == (
        "65532:65532",
        ["attendant"],
        ["serve", "/bundles"],
    )


def test_a_call_from_outside_is_answered(demo: Container) -> None:
    with grpc.insecure_channel(demo.grpc) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=HANGS_S)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        generate = generation_pb2_grpc.GenerationStub(channel).Generate
        told = list(generate(request("Where is my order?"), timeout=HANGS_S))
        assert "".join(each.text for each in told)
        given = "{% for message in messages %}{{ message.content }}{% endfor %}"
        chat = pb.Chat(messages=[pb.ChatMessage(role="user", content="Hello")], given_template=given)
        told = list(generate(pb.GenerateRequest(chat=chat), timeout=HANGS_S))
        assert told[-1].HasField("finish")
    assert demo.inside("attendant", "health") == "SERVING"


def test_nobody_runs_it_and_it_can_write_nothing(demo: Container) -> None:
    assert demo.inside("id", "-u") == "65532"
    tried = (
        "import os; print([path for path in ('/', '/tmp', '/bundles', '/opt/attendant') if os.access(path, os.W_OK)])"
    )
    assert demo.inside("python3", "-c", tried) == "[]"


def test_nothing_that_it_imports_is_compiled_at_its_start(demo: Container) -> None:
    tried = """
import importlib.util, os, sys
import attendant.app
files = [getattr(module, "__file__", None) or "" for module in sys.modules.values()]
ours = [file for file in files if file.startswith("/opt/attendant/") and file.endswith(".py")]
assert len(ours) > 500, ours
print([file for file in ours if not os.path.exists(importlib.util.cache_from_source(file))])
"""
    assert demo.inside("python3", "-c", tried) == "[]"


def test_the_list_in_it_is_what_was_locked(demo: Container) -> None:
    found = json.loads(demo.inside("cat", "/opt/attendant/sbom.cdx.json"))
    assert {each["name"]: each["version"] for each in found["components"]} == CPU.locked()
    assert found["metadata"]["component"]["purl"] == f"pkg:pypi/attendant@{__version__}"


def test_it_has_no_compiler_of_models_and_no_installer(demo: Container) -> None:
    tried = "import importlib.util as u; print([m for m in ('torch', 'transformers', 'pip') if u.find_spec(m)])"
    assert demo.inside("python3", "-c", tried) == "[]"


def test_asked_to_end_it_ends_in_peace(store: Containers, image: str) -> None:
    with store.running(image, "demo") as running:
        eventually(running.is_well)
        assert running.stop() == 0, "not ended by a second, harder signal"
