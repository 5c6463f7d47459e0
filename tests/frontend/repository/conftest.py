"""A bundle, and where a folder of models is to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.synthetic import make_synthetic_bundle


@pytest.fixture(scope="package")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_synthetic_bundle(tmp_path_factory.mktemp("b") / "demo", name="demo", eos_bias=-50, context_length=4096)


@pytest.fixture(scope="package")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answers outlast whatever else happens: they run until somebody ends them."""
    out = tmp_path_factory.mktemp("b") / "endless"
    return make_synthetic_bundle(out, name="demo", eos_bias=-1e4, context_length=200_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(tmp_path / "models")
