"""A model folder that tests of the exporter share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def llama_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama with a tokenizer, as a model folder."""
    from tests.bundles import make_llama_source

    return make_llama_source(tmp_path_factory.mktemp("source") / "tiny-llama")
