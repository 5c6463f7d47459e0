"""What a test needs, read off what its code reaches: a library of the exporter, a process of its own.

Nobody marks that by hand. Files are read without importing them, so that one that needs torch can be left alone
where there is none.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, cached_property, partial
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

REPOSITORY = Path(__file__).parents[1]
EXPORTER = frozenset({"torch", "transformers", "onnxscript", "safetensors", "sentencepiece", "tiktoken", "gguf"})
"""Libraries that only the extra `export` has."""

TORCH, PROCESS = "torch", "process"
_FOLDERS = (REPOSITORY, REPOSITORY / "export", REPOSITORY / "loadtest")
"""Of packages that are read. The server is not: its import contract says that it never reaches the exporter's."""

_STARTERS = (
    *("subprocess", "multiprocessing", "concurrent.futures.process", "pty"),
    # the places of the server that do
    *("attendant.frontend.generation.given_templates", "attendant.processes.child", "attendant.models.engine_process"),
)


def exporter_is_installed() -> bool:
    return importlib.util.find_spec("torch") is not None


def file_needs_exporter(path: Path) -> bool:
    """Whether a test file cannot be imported without the exporter's libraries."""
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return module_needs_exporter(".".join(parts))


@cache
def module_needs_exporter(module: str) -> bool:
    """Whether importing a module imports one of the exporter's libraries, in the end."""
    seen, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name.partition(".")[0] in EXPORTER:
            return True
        if name not in seen:
            seen.add(name)
            waiting += _imports(name)
    return False


@cache
def _imports(module: str) -> tuple[str, ...]:
    """Names of modules that a module of ours imports as it is imported itself; none for other modules."""
    parts = module.split(".")
    packages = [".".join(parts[:end]) for end in range(1, len(parts))]
    path = _file_of(module)
    if path is None:
        return tuple(packages) if packages and _file_of(packages[0]) else ()
    return (*packages, *_imported(ast.parse(path.read_text(encoding="utf-8"))))


@cache
def _file_of(module: str) -> Path | None:
    for folder in _FOLDERS:
        path = folder.joinpath(*module.split("."))
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
    return None


def _imported(node: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            yield child.module
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        elif isinstance(child, ast.Call) and ast.unparse(child.func).endswith("importorskip"):
            yield ast.literal_eval(child.args[0])
        elif isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        elif not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _imported(child)


def marks_of(things: Iterable[Any]) -> frozenset[str]:
    """Which of TORCH and PROCESS functions and classes ask for, with all code of ours that they reach by name."""
    return frozenset(mark for thing in things for mark in _marks_of(thing))


@cache
def _marks_of(thing: Any) -> frozenset[str]:
    walk = _Walk()
    walk.reach(thing)
    walk.run()
    return frozenset(walk.marks)


class _Walk:
    """Through functions: every global name, and every import, in their code is looked up. It sees too much rather than
    too little: a class counts with all its methods."""

    def __init__(self) -> None:
        self.marks: set[str] = set()
        self._waiting: list[Any] = []
        self._seen: set[int] = set()

    def run(self) -> None:
        while self._waiting:
            thing = self._waiting.pop()
            if isinstance(thing, type):
                for base in (thing, *thing.__bases__):
                    for member in vars(base).values() if is_ours(base) else ():
                        self.reach(member)
            else:
                self._function(thing)

    def reach(self, thing: Any) -> None:
        """Keeps a function or a class of ours for :meth:`run`; notes a module or a function that starts processes."""
        thing = _bare(thing)
        home = thing.__name__ if isinstance(thing, ModuleType) else getattr(thing, "__module__", None) or ""
        if _is_in(home, _STARTERS):
            self.marks.add(PROCESS)
        if isinstance(thing, Mapping):
            thing = tuple(thing.values())
        if isinstance(thing, list | tuple):
            for part in thing:
                if callable(part):
                    self.reach(part)
        elif is_ours(thing if isinstance(thing, type | FunctionType) else type(thing)):
            kept = thing if isinstance(thing, type | FunctionType) else type(thing)
            if id(kept) not in self._seen:
                self._seen.add(id(kept))
                self._waiting.append(kept)

    def _function(self, function: FunctionType) -> None:
        names, words = _names(function.__code__)
        for cell in function.__closure__ or ():
            try:
                self.reach(cell.cell_contents)
            except ValueError:  # not filled yet
                continue
        for name in names:
            if name in function.__globals__:
                self._value(function.__globals__[name], names)
            elif name.partition(".")[0] in EXPORTER or _file_of(name):
                self._import(name, names)
        if "importorskip" in names:
            for word in words:
                self._import(word, names)
        if any(name.startswith("create_subprocess") for name in names):
            self.marks.add(PROCESS)

    def _value(self, value: Any, names: frozenset[str]) -> None:
        self.reach(value)
        if isinstance(value, ModuleType):
            if module_needs_exporter(value.__name__):
                self.marks.add(TORCH)
            if is_ours(value):
                self._members(value, names)

    def _import(self, module: str, names: frozenset[str]) -> None:
        if module_needs_exporter(module):
            self.marks.add(TORCH)
        elif _file_of(module):
            self._members(importlib.import_module(module), names)

    def _members(self, module: ModuleType, names: frozenset[str]) -> None:
        for name in names & vars(module).keys():
            self.reach(vars(module)[name])


@cache
def _names(code: CodeType) -> tuple[frozenset[str], frozenset[str]]:
    """Names and words in a code and in those within it."""
    names, words = set(code.co_names), set[str]()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner, said = _names(constant)
            names |= inner
            words |= said
        elif isinstance(constant, str):
            words.add(constant)
    return frozenset(names), frozenset(words)


def _bare(thing: Any) -> Any:
    """The function within a method, a property, a partial, a wrapper or a hypothesis."""
    while True:
        if isinstance(thing, MethodType | classmethod | staticmethod):
            thing = thing.__func__
        elif isinstance(thing, property):
            thing = thing.fget
        elif isinstance(thing, partial | cached_property):
            thing = thing.func
        elif isinstance(thing, FunctionType) and hasattr(thing, "hypothesis"):
            thing = thing.hypothesis.inner_test
        elif hasattr(thing, "__wrapped__") and callable(thing):
            thing = thing.__wrapped__
        else:
            return thing


def is_ours(thing: Any) -> bool:
    home = thing.__name__ if isinstance(thing, ModuleType) else getattr(thing, "__module__", None) or ""
    return isinstance(home, str) and _file_of(home.partition(".")[0]) is not None


def _is_in(module: Any, packages: Iterable[str]) -> bool:
    return isinstance(module, str) and any(module == name or module.startswith(name + ".") for name in packages)


OTHERS = frozenset({"fc-list"})
"""Processes that libraries start once on a new machine: matplotlib asks for its fonts."""


class ProcessGuard:
    """Refuses to start a process while a test runs that is not marked so: then :func:`marks_of` missed a way to it."""

    def __init__(self) -> None:
        self.test: str | None = None
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple[object, ...]) -> None:
        if args and args[0] in OTHERS:
            return
        if self.test and event in ("subprocess.Popen", "os.posix_spawn", "os.fork", "os.forkpty", "os.exec"):
            raise subprocess.SubprocessError(f"{self.test} starts a process, and tests/needs.py does not see how")
