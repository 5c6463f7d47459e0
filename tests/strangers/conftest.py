"""Servers for strangers to call, and environments of theirs, once for each set of packages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.strangers.environments import (
    FRAMEWORKS,
    GATEWAY,
    KSERVE,
    LITELLM,
    LLAMA_INDEX,
    TRITON,
    environment,
)
from tests.strangers.stranger import Stranger, stranger
from tests.synthetic import make_slow_bundle, make_synthetic_bundle
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
    """The demo models, a tiny encoder for each task, ``slow``, a generator at a few hundred tokens a second, and a
    ``fast`` one, with room for what a random model writes between the words of JSON."""
    folder = tmp_path_factory.mktemp("bundles")
    encoders = sorted(make_encoders(folder / "encoders").iterdir())
    slow = make_slow_bundle(folder / "slow")
    fast = make_synthetic_bundle(folder / "fast", name="fast", context_length=4096)
    words = (*encoders, slow, fast, "--demo", *FLAGS, "--engine.threads", 1, "--no-engine.spinning")
    words = (*words, "--auth.settings-by-calls", "everyone", "--no-admission.predict")  # deadlines are to end calls
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


@pytest.fixture(scope="package")
def frameworks(server: ServerProcess) -> Iterator[Stranger]:
    """LangChain, OpenAI's agents and Pydantic AI."""
    with stranger(FRAMEWORKS, "by_frameworks.py", server.http.removeprefix("http://")) as made:
        yield made


@pytest.fixture(scope="package")
def litellm(server: ServerProcess) -> Iterator[Stranger]:
    """LiteLLM and Instructor."""
    with stranger(LITELLM, "by_litellm.py", server.http.removeprefix("http://")) as made:
        yield made


@pytest.fixture(scope="package")
def llama_index(server: ServerProcess) -> Iterator[Stranger]:
    """LlamaIndex."""
    with stranger(LLAMA_INDEX, "by_llama_index.py", server.http.removeprefix("http://")) as made:
        yield made
