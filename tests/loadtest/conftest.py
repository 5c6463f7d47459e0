"""A server for the load test to load."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.synthetic import make_synthetic_bundle
from tests.system.server import ServerProcess, serving


@pytest.fixture(scope="package")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answers in a moment, and only ends at max_tokens."""
    return make_synthetic_bundle(tmp_path_factory.mktemp("bundles") / "tiny", name="tiny", eos_bias=-1e4)


@pytest.fixture(scope="package")
def server(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("log") / "server.log", bundle, "--engine.max-num-seqs", 4) as running:
        yield running
