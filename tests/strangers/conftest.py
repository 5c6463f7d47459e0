"""Environments of strangers, once for each set of packages."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.strangers.environments import GATEWAY, environment


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the package index, once."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.network)


@pytest.fixture(scope="session")
def gateway_environment() -> Path:
    """The folder of an environment with smg, openai and anthropic: ``bin/smg``, ``bin/python``."""
    return environment(GATEWAY)
