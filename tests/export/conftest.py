"""The exporter's tests need torch."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
pytest.importorskip("torch", reason="the exporter is not installed")


@pytest.fixture(scope="session")
def llama_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama with a tokenizer, as a model folder."""
    from tests.bundles import make_llama_source

    return make_llama_source(tmp_path_factory.mktemp("source") / "tiny-llama")
