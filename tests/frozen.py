"""The program is frozen before models are loaded, as a server does it: for tests of rooms that load many."""

from __future__ import annotations

import pytest
from attendant.models import garbage


@pytest.fixture(scope="module", autouse=True)
def frozen() -> None:
    """Else each model that leaves has the collector look through all that other tests have imported: torch alone is a
    second of that."""
    garbage.freeze()
