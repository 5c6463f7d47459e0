"""Gives memory back between the stages of an export, in which the same weights pass through several libraries."""

from __future__ import annotations

import ctypes
import gc
import mmap
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import onnx_ir as ir

_MAPPINGS = Path("/proc/self/smaps")
_HEADER = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) ...p [0-9a-f]+ \S+ ([1-9]\d*) ")  # private, of a file
_FORGET_PAGES = 4  # MADV_DONTNEED of Linux
_WORTH_BYTES = 64 << 20  # what is smaller is left to the interpreter

T = TypeVar("T")


def in_batches(items: Sequence[T], size_of: Callable[[T], int], most: int) -> Iterator[list[T]]:
    """The items, in order, so many at a time as their sizes together are within ``most`` bytes; at least one."""
    batch: list[T] = []
    held = 0
    for item in items:
        size = size_of(item)
        if batch and held + size > most:
            yield batch
            batch, held = [], 0
        batch.append(item)
        held += size
    if batch:
        yield batch


def give_back(num_bytes: int) -> None:
    """Collects what nobody refers to, cycles included, and hands the free heap back to the system where it can be.

    Looking through all objects takes a second, which a small model is not worth.

    Args:
        num_bytes: of the weights of the model at work.
    """
    if num_bytes < _WORTH_BYTES:
        return
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc keeps it otherwise
    if trim is not None:
        trim(0)


def weight_bytes(graph: ir.Graph) -> int:
    """The size of a graph's constants."""
    return sum(value.const_value.nbytes for value in graph.initializers.values() if value.const_value is not None)


def empty_graph(model: ir.Model) -> None:
    """Takes the weights out of a graph that is written: rules and passes that saw it may refer to it for long."""
    size = weight_bytes(model.graph)
    for value in model.graph.initializers.values():
        value.const_value = None
    give_back(size)


def set_aside(model: Any) -> int:
    """Lets the system have the memory of weights that are still as in the checkpoint's file, which torch maps.

    They stay usable: a page that is touched again is read again. Weights that were converted on loading, or changed
    since, stay in memory; so do all where the system is not Linux.

    Returns:
        The bytes that were set aside.
    """
    files = list(_unchanged_files())
    system = ctypes.CDLL(None)
    total = 0
    for weight in model.parameters():
        start = -(-weight.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
        size = (weight.data_ptr() + weight.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE - start
        if size > 0 and any(first <= start and start + size <= end for first, end in files):
            total += size
            system.madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), _FORGET_PAGES)
    return total


def _unchanged_files() -> Iterator[tuple[int, int]]:
    """Where files are mapped of which no page was changed: first address and end."""
    try:
        lines = _MAPPINGS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    place = None
    for line in lines:
        header = _HEADER.match(line)
        if header is not None:
            place = int(header[1], 16), int(header[2], 16)
        elif re.match(r"^[0-9a-f]+-", line):
            place = None
        elif place is not None and line.startswith("Anonymous:") and int(line.split()[1]) == 0:
            yield place
