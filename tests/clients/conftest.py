"""A server with something of every kind, and clients of it."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import cohere
import openai
import pytest

from tests.synthetic import make_slow_bundle
from tests.system.encoders import FLAGS, make_encoders
from tests.system.server import ServerProcess, serving


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The demo models, a tiny encoder for each task, and ``slow``, whose answers do not end of themselves."""
    folder = tmp_path_factory.mktemp("bundles")
    encoders = sorted(make_encoders(folder / "encoders").iterdir())
    slow = make_slow_bundle(folder / "slow")
    words = (*encoders, slow, "--demo", *FLAGS, "--engine.threads", 1, "--no-engine.spinning")
    with serving(tmp_path_factory.mktemp("log") / "server.log", *words) as running:
        yield running


@pytest.fixture
def client(server: ServerProcess) -> Iterator[openai.OpenAI]:
    """OpenAI's, which does not try again."""
    with openai.OpenAI(base_url=f"{server.http}/v1", api_key="none", max_retries=0) as made:
        yield made


@pytest.fixture
def claude(server: ServerProcess) -> Iterator[anthropic.Anthropic]:
    """Anthropic's, which does not try again."""
    with anthropic.Anthropic(base_url=server.http, api_key="none", max_retries=0) as made:
        yield made


@pytest.fixture
def cohere_client(server: ServerProcess) -> cohere.ClientV2:
    """Cohere's."""
    return cohere.ClientV2(base_url=server.http, api_key="none")
