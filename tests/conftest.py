"""What tests of several rooms share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.bundles import make_paged_bundle

# Over tiny models torch's threads only wait for each other, and workers fight for cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def paged_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny Llama with its KV cache in pages, 256 positions, as a CPU runs it; its weights are bfloat16's."""
    pytest.importorskip("torch", reason="the exporter is not installed")
    return make_paged_bundle(tmp_path_factory.mktemp("bundles") / "paged", rounded=True)
