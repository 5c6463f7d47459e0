"""The sizes and habits that keep the house readable: files, functions, classes, docstrings, names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("proto", "server", "export", "loadtest", "deploy")
MOST_OF_A_FILE, MOST_OF_A_CLASS, MOST_OF_A_FUNCTION = 300, 200, 50
"""Lines. Those of a docstring count in a file only: what is explained well is not the longer for it."""
EXCEPTIONS = {
    "export/attendant_export/paged/function.py": "one operator of ONNX Runtime as a graph, node by node",
    "BlockPool": "one account of all blocks: what is left keeps the invariants of check()",
    "SlotPool": "one account of all slots, as BlockPool is of blocks",
}
"""Files and classes that may be longer, and why."""

Defined = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """What the rules ask of a file that is written by hand. Its tree is not kept: those of all files are half a million
    objects, which each search for garbage would visit.

    Attributes:
        path: from the repository. size: in lines. documented: whether it says what it decides.
        definitions: kind, line, name and lines of each, those of docstrings left out.
        imports: names of modules and of what is taken from them.
    """

    path: str
    size: int
    documented: bool
    definitions: tuple[tuple[type[ast.AST], int, str, int], ...]
    imports: frozenset[str]


@cache
def sources() -> tuple[Source, ...]:
    """Of every file that is written by hand."""
    paths = (path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")))
    return tuple(_source(path) for path in paths if "_pb2" not in path.name)


def _source(path: Path) -> Source:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    nodes = list(ast.walk(tree))
    return Source(
        path.relative_to(ROOT).as_posix(),
        len(text.splitlines()),
        bool((ast.get_docstring(tree) or "").strip()),
        tuple((type(node), node.lineno, node.name, _lines(node)) for node in nodes if isinstance(node, Defined)),
        frozenset(name for node in nodes if isinstance(node, ast.ImportFrom | ast.Import) for name in _names(node)),
    )


def _lines(node: ast.stmt) -> int:
    """Of a definition, without the docstrings in it."""
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1 - sum(map(_docstring_lines, ast.walk(node)))


def _docstring_lines(node: ast.AST) -> int:
    if not isinstance(node, ast.Module | Defined) or ast.get_docstring(node) is None:
        return 0
    first = node.body[0]
    assert first.end_lineno is not None
    return first.end_lineno - first.lineno + 1


def _names(node: ast.ImportFrom | ast.Import) -> Iterator[str]:
    if isinstance(node, ast.ImportFrom) and node.module:
        yield node.module
    for alias in node.names:
        yield alias.name


@pytest.mark.parametrize(
    ("kinds", "most"),
    [((ast.ClassDef,), MOST_OF_A_CLASS), ((ast.FunctionDef, ast.AsyncFunctionDef), MOST_OF_A_FUNCTION)],
    ids=["classes", "functions"],
)
def test_classes_and_functions_are_short(kinds: tuple[type[ast.AST], ...], most: int) -> None:
    long = [
        f"{source.path}:{line} {name} has {size} lines"
        for source in sources()
        for kind, line, name, size in source.definitions
        if kind in kinds and size > most
    ]
    found = {line.split()[1] for line in long}
    assert found <= EXCEPTIONS.keys(), f"at most {most} lines: split it by noun: {long}"


def test_files_are_short() -> None:
    long = {source.path for source in sources() if source.size > MOST_OF_A_FILE}
    assert long <= EXCEPTIONS.keys(), f"at most {MOST_OF_A_FILE} lines: split it by noun"


def test_no_exception_is_older_than_its_reason() -> None:
    sizes = {source.path: source.size for source in sources()}
    classes = {name: size for source in sources() for kind, _, name, size in source.definitions if kind is ast.ClassDef}
    for name in EXCEPTIONS:
        is_long = sizes[name] > MOST_OF_A_FILE if name in sizes else classes[name] > MOST_OF_A_CLASS
        assert is_long, f"{name} is short enough by now: take it off the list"


def test_every_file_says_what_it_decides() -> None:
    assert [source.path for source in sources() if not source.documented] == []


def test_nothing_is_called_utils() -> None:
    bad = ("utils", "util", "helpers", "misc", "common")
    assert [source.path for source in sources() if Path(source.path).stem in bad] == []
    imported = {
        f"{source.path}: {name}"
        for source in sources()
        for name in source.imports
        if name.startswith("attendant") and "utils" in name.split(".")
    }
    assert imported == set()
