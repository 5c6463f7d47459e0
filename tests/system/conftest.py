"""Bundles and servers that the system tests share."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.synthetic import make_slow_bundle, make_synthetic_bundle
from tests.system.server import ServerProcess, serving


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="session")
def fast(bundles: Path) -> Path:
    """Answers in a moment, and only ends at max_tokens."""
    return make_synthetic_bundle(bundles / "fast", name="fast", eos_bias=-1e4)


@pytest.fixture(scope="session")
def slow(bundles: Path) -> Path:
    """The same at a few hundred tokens a second, with room for long answers."""
    return make_slow_bundle(bundles / "slow")


@pytest.fixture(scope="module")
def server(fast: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of the fast bundle."""
    with serving(tmp_path_factory.mktemp("log") / "server.log", fast, "--engine.max-num-seqs", 4) as running:
        yield running


@pytest.fixture(scope="module")
def slow_server(slow: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of the slow bundle that runs two sequences, and lets two wait, also those that will be late."""
    log = tmp_path_factory.mktemp("log") / "server.log"
    flags = ("--engine.max-num-seqs", 2, "--engine.max-queue", 2, "--no-admission.predict")
    with serving(log, slow, *flags) as running:
        yield running


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Programs started by the tests take Ctrl-C, even if the tests themselves run in a background that ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
