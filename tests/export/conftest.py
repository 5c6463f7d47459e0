"""The exporter's tests run torch and ONNX Runtime on one thread each, so that workers do not fight for cores."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
pytest.importorskip("torch", reason="the exporter is not installed")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def llama_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama with a tokenizer, as a model folder."""
    from tests.bundles import make_llama_source

    return make_llama_source(tmp_path_factory.mktemp("source") / "tiny-llama")
