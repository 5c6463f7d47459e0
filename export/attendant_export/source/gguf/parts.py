"""Models in several GGUF files, as llama.cpp splits large ones: the metadata are in the first, tensors in all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from attendant_export.errors import SourceError
from attendant_export.source.gguf.file import GgufFile, GgufTensor, open_gguf
from attendant_export.source.gguf.names import PART


def open_whole(path: Path) -> GgufFile:
    """The model in the file ``path``, with the other files of which it is a part.

    Raises:
        SourceError: a file that cannot be read; a part that is missing, does not bear the name of a part, or is of
            another model; names it.
        ToolchainError: the package gguf is missing.
    """
    file = open_gguf(path)
    count, number = _split(file)
    if count == 1:
        return file
    found = PART.search(path.name)
    if found is None or (int(found[1]), int(found[2])) != (number, count):
        wanted = f"-{number:05d}-of-{count:05d}.gguf"
        raise SourceError(
            f"{path} is part {number} of {count} of a model; the others are found by its name, which has to end in "
            f"{wanted}"
        )
    stem = path.name[: found.start()]
    parts = [path.with_name(f"{stem}-{each:05d}-of-{count:05d}.gguf") for each in range(1, count + 1)]
    for part in parts:
        if not part.exists():
            raise SourceError(f"{path} is part {number} of {count} of a model, and {part} is missing")
    files = [file if part == path else open_gguf(part) for part in parts]
    for each, other in enumerate(files, 1):
        said = _split(other)
        if said != (count, each):
            raise SourceError(f"{other.path} says that it is part {said[1]} of {said[0]}, not {each} of {count}")
    tensors: dict[str, GgufTensor] = {}
    for name, tensor in _tensors(files):
        if name in tensors:
            raise SourceError(f"tensor {name} is in several parts of {path}: they are not of one model")
        tensors[name] = tensor
    whole = files[0].fields.get("split.tensors.count", len(tensors))
    if whole != len(tensors):
        raise SourceError(f"the parts of {path} have {len(tensors)} tensors, and the first says that they are {whole}")
    return replace(files[0], tensors=tensors)


def _split(file: GgufFile) -> tuple[int, int]:
    """How many parts there are, and which this is, from 1 on."""
    count = file.field("split.count", int, 1)
    return max(count, 1), file.field("split.no", int, 0) + 1


def _tensors(files: list[GgufFile]) -> Iterator[tuple[str, GgufTensor]]:
    for file in files:
        yield from file.tensors.items()
