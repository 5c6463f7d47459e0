"""What a test needs is read off its code: by name, through helpers, fixtures, classes and imports within functions."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import bundles, needs, nightly, shared, synthetic
from tests.needs import PROCESS, TORCH, marks_of, module_needs_exporter

HERE = Path(__file__).parent


def test_files_are_known_by_what_they_import_in_the_end() -> None:
    assert module_needs_exporter("attendant_export.export")
    assert module_needs_exporter("attendant_export.export.export_bundle"), "a name within a module counts as the module"
    assert not module_needs_exporter("attendant_export.writer")
    assert not module_needs_exporter("attendant.app")
    assert not module_needs_exporter("tests.bundles"), "it imports torch within functions only"
    assert needs.file_needs_exporter(HERE / "test_seq2seq.py")
    assert not needs.file_needs_exporter(HERE / "test_isolation.py")


def test_one_of_many_is_daily_and_no_name_of_the_tables_is_lost() -> None:
    here = "test_isolation.py", "test_every_answer_equals_the_answer_alone"
    assert not nightly.is_nightly(*here, "int8")
    assert nightly.is_nightly(*here, "int4")
    assert nightly.is_nightly("loadtest/test_gpu_kit.py", "test_any", "")
    assert not nightly.is_nightly("test_proto.py", "test_any", "")
    assert nightly.missing([(*here, "int8"), (*here, "mixed")]) == [f"{here[0]}::{here[1]}[synthetic]"]
    assert nightly.missing([(here[0], "test_other", "")]) == ["::".join(here)]
    assert nightly.missing([("test_proto.py", "test_any", "")]) == []


class Helper:
    """A class counts with all its methods."""

    @property
    def model(self) -> object:
        return bundles.make_llama()

    def quiet(self) -> None:
        """Needs nothing."""


def uses_a_class() -> Helper:
    return Helper()


def imports_within(folder: Path) -> Path:
    from tests.bundles import make_llama_source

    return make_llama_source(folder)


def imports_torch_if_it_is_there() -> None:
    pytest.importorskip("torch")


def starts_a_process() -> None:
    subprocess.run([sys.executable, "-c", ""], check=True)


def starts_one_elsewhere() -> Iterator[None]:
    starts_a_process()
    yield


def builds_a_bundle(folder: Path) -> Path:
    return synthetic.make_synthetic_bundle(folder)


@pytest.mark.parametrize(
    ("name", "marks"),
    [
        ("uses_a_class", {TORCH}),
        ("imports_within", {TORCH}),
        ("imports_torch_if_it_is_there", {TORCH}),
        ("starts_a_process", {PROCESS}),
        ("starts_one_elsewhere", {PROCESS}),
        ("builds_a_bundle", set()),
    ],
)
def test_functions_are_known_by_what_they_reach(name: str, marks: set[str]) -> None:
    assert marks_of([globals()[name]]) == marks


def test_marks_are_on_the_tests(request: pytest.FixtureRequest) -> None:
    """On this one too, which names what starts a process, and does not start it."""
    assert starts_a_process
    assert request.node.get_closest_marker(PROCESS)
    assert not request.node.get_closest_marker(TORCH)


def test_a_process_that_nobody_saw_coming_is_refused() -> None:
    hidden = __import__("sub" + "process")
    with pytest.raises(Exception, match=r"starts a process, and tests/needs\.py does not see how"):
        hidden.run([sys.executable, "-c", ""])


def test_a_folder_is_made_once_for_all_who_ask(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        folder.mkdir()
        (folder / "file").write_text("text")

    name = f"a folder of {tmp_path}"
    one, other = (shared.copy_of(name, make, tmp_path / word) for word in ("one", "other"))
    (one / "file").write_text("changed")
    assert (other / "file").read_text() == "text"
    assert shared.copy_of(name, make, tmp_path / "third").is_dir()
    assert len(made) == 1


def test_what_fails_is_tried_again(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        folder.mkdir()
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        shared.copy_of(f"a failure of {tmp_path}", fail, tmp_path / "out")
    assert shared.copy_of(f"a failure of {tmp_path}", Path.mkdir, tmp_path / "out").is_dir()
