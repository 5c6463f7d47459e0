"""What tests of several rooms share: a bundle, and marks that say what each test needs."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests import needs, nightly, shared
from tests.bundles import make_paged_bundle

# Over tiny models torch's threads only wait for each other, and workers fight for cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

settings.register_profile("any machine", deadline=None)  # an example takes as long as it takes
settings.load_profile("any machine")

NIGHTLY = pytest.StashKey[int]()
GUARD = pytest.StashKey[needs.ProcessGuard]()
LEFT_OUT = "nightly_left_out"


@pytest.fixture(scope="session")
def paged_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny Llama with its KV cache in pages, 256 positions, as a CPU runs it; its weights are bfloat16's."""
    return make_paged_bundle(tmp_path_factory.mktemp("bundles") / "paged", rounded=True)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[GUARD] = needs.ProcessGuard()
    folder = shared.begin()
    config.add_cleanup(lambda: shared.end(folder))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What collection makes stays till the end: a search for garbage in it finds none and takes a second or two."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Without the exporter, a test file that needs it is not even imported."""
    if needs.exporter_is_installed() or not collection_path.match("test_*.py"):
        return None
    return needs.file_needs_exporter(collection_path) or None


def pytest_itemcollected(item: pytest.Item) -> None:
    """Marks what the test needs, and skips it where that is not there."""
    if not isinstance(item, pytest.Function):
        return
    marks = set(needs.marks_of(_code_of(item)))
    if needs.file_needs_exporter(item.path):
        marks.add(needs.TORCH)
    if item.get_closest_marker("real"):
        marks |= {needs.TORCH, "network"}
    if nightly.is_nightly(*_name_of(item)):
        marks.add("nightly")
    for mark in sorted(marks):
        item.add_marker(mark)
    if needs.TORCH in marks and not needs.exporter_is_installed():
        item.add_marker(pytest.mark.skip(reason="the exporter is not installed"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The tables of nightly tests name what there is."""
    if any("::" in word for word in config.args):
        return
    if lost := nightly.missing(_name_of(item) for item in items if isinstance(item, pytest.Function)):
        raise pytest.UsageError(f"tests/nightly.py names tests that are not there: {', '.join(lost)}")


def _name_of(item: pytest.Function) -> tuple[str, str, str]:
    """Its file from tests/, its function and its parameters."""
    parameters = item.callspec.id if hasattr(item, "callspec") else ""
    return item.path.relative_to(Path(__file__).parent).as_posix(), item.originalname, parameters


def _code_of(item: pytest.Function) -> Iterable[Any]:
    """The test, its class, its parameters, and all fixtures it has by whatever way."""
    yield getattr(item.obj, "__func__", item.obj)
    if item.cls:
        yield item.cls
    if hasattr(item, "callspec"):
        yield from (value for value in item.callspec.params.values() if callable(value))
    for fixtures in (*item._fixtureinfo.name2fixturedefs.values(), *_fixtures_by_parameter(item)):
        yield from (fixture.func for fixture in fixtures if needs.is_ours(fixture.func))


def _fixtures_by_parameter(item: pytest.Function) -> Iterable[Sequence[pytest.FixtureDef[Any]]]:
    """Those that a parameter names, of a test that asks for them by ``request.getfixturevalue``, and what they need."""
    if "request" not in item.fixturenames or not hasattr(item, "callspec"):
        return ()
    names = tuple(value for value in item.callspec.params.values() if isinstance(value, str))
    _, found = item.session._fixturemanager.getfixtureclosure(item, names, frozenset())
    return found.values()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    guard = item.config.stash[GUARD]
    guard.test = None if item.get_closest_marker(needs.PROCESS) else item.nodeid
    try:
        return (yield)
    finally:
        guard.test = None


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Counts the nightly tests that a choice of marks leaves out."""
    for item in items:
        if item.get_closest_marker("nightly"):
            item.config.stash[NIGHTLY] = item.config.stash.get(NIGHTLY, 0) + 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker tells the count to the process that prints."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[LEFT_OUT] = session.config.stash.get(NIGHTLY, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Every worker collects the same tests."""
    node.config.stash[NIGHTLY] = getattr(node, "workeroutput", {}).get(LEFT_OUT, 0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if number := config.stash.get(NIGHTLY, 0):
        terminalreporter.write_line(f"{number} nightly tests were left out: make nightly runs them too")
