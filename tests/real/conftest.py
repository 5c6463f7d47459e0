"""Trained checkpoints and their bundles, kept in the user's cache: whoever comes second exports nothing.

The exporter runs in a process of its own, so that its memory goes with it; of several workers one exports, by a lock.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the exporter is not installed")

from attendant_export.recipe import ENCODER_PRECISIONS, PRECISIONS

from tests.system.server import ServerProcess, environment, serving

EXPORT_S = 900.0
UNAVAILABLE = 3

Made = Callable[[str], Path]
BundleOf = Callable[[str, str], Path]
ServerOf = Callable[[Path], AbstractContextManager[ServerProcess]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here is marked ``real``."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.real)


def _made(*words: str) -> Path:
    """The last path that the command prints; skips where a package cannot be had."""
    command = [sys.executable, "-m", "attendant_export.checkpoints", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=EXPORT_S, env=environment(), check=False)
    if done.returncode == UNAVAILABLE:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.splitlines()[-1])


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The model folder of SmolLM2-135M-Instruct."""
    return _made("smollm2")


@pytest.fixture(scope="session")
def whisper() -> Path:
    """The model folder of whisper-tiny.en."""
    return _made("whisper-tiny-en")


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The model folder of all-MiniLM-L6-v2."""
    return _made("minilm")


@pytest.fixture(scope="session", params=PRECISIONS["cpu"])
def smollm2_bundle(request: pytest.FixtureRequest, smollm2: Path) -> Path:
    """SmolLM2 in each precision."""
    return _made(smollm2.name, "--bundle", request.param)


@pytest.fixture(scope="session")
def whisper_bundle(whisper: Path) -> Made:
    """Whisper in a precision."""
    return lambda precision: _made(whisper.name, "--bundle", precision)


@pytest.fixture(scope="session")
def fp32_bundle() -> Made:
    """A checkpoint, by the name of its folder, in float32."""
    return lambda name: _made(name, "--bundle", "fp32")


@pytest.fixture(scope="session")
def bundle_of() -> BundleOf:
    """A checkpoint, by its name, in a precision."""
    return lambda name, precision: _made(_made(name).name, "--bundle", precision)


@pytest.fixture(scope="session", params=ENCODER_PRECISIONS["cpu"])
def minilm_bundle(request: pytest.FixtureRequest, minilm: Path) -> Path:
    """MiniLM in each precision of encoders."""
    return _made(minilm.name, "--bundle", request.param)


@pytest.fixture(scope="session")
def server_of(tmp_path_factory: pytest.TempPathFactory) -> ServerOf:
    """Starts a real server of one bundle."""

    def start(bundle: Path) -> AbstractContextManager[ServerProcess]:
        return serving(tmp_path_factory.mktemp("log") / "server.log", bundle, "--no-verify-bundles")

    return start
