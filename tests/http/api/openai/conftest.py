"""A server for OpenAI's client, in this process, and what its tests ask of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from attendant.core.generation import Delta, Finish, GenerationCall
from openai import OpenAI

from tests.http.api.served import ApiSite
from tests.synthetic import EOS, make_synthetic_bundle

HELLO: list[Any] = [{"role": "user", "content": "hello"}]
ENDLESS = 30_000
ENDS: dict[str, Any] = {"logit_bias": {EOS: 100}, "extra_body": {"min_tokens": 6}}
"""An answer of six tokens, and the one that ends it."""


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiSite]:
    """Two sequences run, and one waits."""
    site = two_models(tmp_path_factory, max_num_seqs=2, max_queue=1)
    yield site
    site.close()


@pytest.fixture(scope="session")
def client(site: ApiSite) -> Iterator[Any]:
    with client_of(site) as client:
        yield client


def whole_answer(site: ApiSite, call: GenerationCall) -> tuple[str, Finish]:
    """Text and end of what the front end itself answers to a call that is answered whole."""
    delta, finish = site.generated(call)
    assert isinstance(delta, Delta)
    assert isinstance(finish, Finish)
    return delta.text, finish


def two_models(folders: pytest.TempPathFactory, **engine: int) -> ApiSite:
    """One model that ends its answers, and one that never does."""
    folder = folders.mktemp("bundles")
    model = make_synthetic_bundle(folder / "model", name="model", seed=3)
    endless = make_synthetic_bundle(folder / "endless", name="endless", context_length=32_768, eos_bias=-1e4)
    return ApiSite(model, endless, **engine)


def client_of(site: ApiSite) -> OpenAI:
    """OpenAI's own client, which asks once."""
    return OpenAI(base_url=f"{site.url}/v1", api_key="none", max_retries=0)


def running(site: ApiSite) -> float:
    """Sequences that wait or run."""
    found = site.get("/metrics")[2].decode()
    lines = [line for line in found.splitlines() if line.startswith("attendant_num_requests_")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)
