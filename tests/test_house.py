"""The sizes and habits that keep the house readable: files, functions, classes, docstrings, names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
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

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _files() -> Iterator[tuple[str, str, ast.Module]]:
    """Path, text and tree of every file that is written by hand."""
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            if "_pb2" not in path.name:
                text = path.read_text(encoding="utf-8")
                yield path.relative_to(ROOT).as_posix(), text, ast.parse(text)


FILES = tuple(_files())


def _lines(node: ast.AST) -> int:
    """Of a definition, without the docstrings in it."""
    assert isinstance(node, ast.stmt)
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1 - sum(map(_docstring_lines, ast.walk(node)))


def _docstring_lines(node: ast.AST) -> int:
    if not isinstance(node, Documented) or ast.get_docstring(node) is None:
        return 0
    first = node.body[0]
    assert first.end_lineno is not None
    return first.end_lineno - first.lineno + 1


@pytest.mark.parametrize(
    ("kinds", "most"),
    [((ast.ClassDef,), MOST_OF_A_CLASS), ((ast.FunctionDef, ast.AsyncFunctionDef), MOST_OF_A_FUNCTION)],
    ids=["classes", "functions"],
)
def test_classes_and_functions_are_short(kinds: tuple[type[ast.AST], ...], most: int) -> None:
    long = [
        f"{path}:{node.lineno} {node.name} has {_lines(node)} lines"
        for path, _, tree in FILES
        for node in ast.walk(tree)
        if isinstance(node, kinds)
        and isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and _lines(node) > most
    ]
    found = {line.split()[1] for line in long}
    assert found <= EXCEPTIONS.keys(), f"at most {most} lines: split it by noun: {long}"


def test_files_are_short() -> None:
    sizes = {path: len(text.splitlines()) for path, text, _ in FILES}
    long = {path for path, size in sizes.items() if size > MOST_OF_A_FILE}
    assert long <= EXCEPTIONS.keys(), f"at most {MOST_OF_A_FILE} lines: split it by noun"


def test_no_exception_is_older_than_its_reason() -> None:
    sizes = {path: len(text.splitlines()) for path, text, _ in FILES}
    classes = {node.name: node for _, _, tree in FILES for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    for name in EXCEPTIONS:
        is_long = sizes[name] > MOST_OF_A_FILE if name in sizes else _lines(classes[name]) > MOST_OF_A_CLASS
        assert is_long, f"{name} is short enough by now: take it off the list"


def test_every_file_says_what_it_decides() -> None:
    assert [path for path, _, tree in FILES if not (ast.get_docstring(tree) or "").strip()] == []


def test_nothing_is_called_utils() -> None:
    assert [path for path, _, _ in FILES if Path(path).stem in ("utils", "util", "helpers", "misc", "common")] == []
    imported = {
        f"{path}: {name}"
        for path, _, tree in FILES
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom | ast.Import)
        for name in (*((node.module,) if isinstance(node, ast.ImportFrom) and node.module else ()), *_names(node))
        if name.startswith("attendant") and "utils" in name.split(".")
    }
    assert imported == set()


def _names(node: ast.ImportFrom | ast.Import) -> Iterator[str]:
    for alias in node.names:
        yield alias.name
