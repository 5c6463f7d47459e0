"""Servers for strangers to call, and environments of theirs, once for each set of packages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.strangers.environments import GATEWAY, KSERVE, TRITON, environment
from tests.strangers.stranger import Stranger, stranger
from tests.synthetic import make_slow_bundle
from tests.system.encoders import FLAGS, make_encoders
from tests.system.server import ServerProcess, serving


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the package index, once."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.network)


@pytest.fixture(scope="session")
def gateway_environment() -> Path:
    """The folder of an environment with smg, openai and anthropic: ``bin/smg``, ``bin/python``."""
    return environment(GATEWAY)


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The demo models, a tiny encoder for each task, and ``slow``, a generator at a few hundred tokens a second."""
    folder = tmp_path_factory.mktemp("bundles")
    encoders = sorted(make_encoders(folder / "encoders").iterdir())
    slow = make_slow_bundle(folder / "slow")
    words = (*encoders, slow, "--demo", *FLAGS, "--engine.threads", 1, "--no-engine.spinning")
    with serving(tmp_path_factory.mktemp("log") / "server.log", *words) as running:
        yield running


@pytest.fixture(scope="package")
def triton(server: ServerProcess) -> Iterator[Stranger]:
    """Triton's client of the server."""
    with stranger(TRITON, "by_tritonclient.py", server.grpc) as made:
        yield made


@pytest.fixture(scope="package")
def triton_aio(server: ServerProcess) -> Iterator[Stranger]:
    """Triton's client in asyncio."""
    with stranger(TRITON, "by_tritonclient_aio.py", server.grpc) as made:
        yield made


@pytest.fixture(scope="package")
def kserve(server: ServerProcess) -> Iterator[Stranger]:
    """KServe's client of the server."""
    with stranger(KSERVE, "by_kserve.py", server.grpc) as made:
        yield made
