"""A server to ask after its health."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.synthetic import make_synthetic_bundle
from tests.system.server import ServerProcess, serving


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with serving(tmp_path / "server.log", make_synthetic_bundle(tmp_path / "tiny")) as running:
        yield running
