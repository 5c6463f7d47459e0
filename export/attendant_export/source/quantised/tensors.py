"""The tensors of a folder's safetensors files, by name: what their headers say, and one at a time what they hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from attendant_export.errors import SourceError, first_line
from attendant_export.source.json_files import read_json

_WHOLE, _SUFFIX = "model.safetensors", ".safetensors"


class Tensors(Mapping[str, tuple[int, ...]]):
    """The shapes of tensors by name; files stay open, and mapped, as long as it lives.

    Raises:
        SourceError: there is no file, a shard is missing, or one cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.metadata: dict[str, str] = {}
        self._files: dict[str, tuple[Path, Any]] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._types: dict[str, str] = {}
        for path in weight_files(folder):
            with _reading(path):
                file: Any = safe_open(path, framework="pt")
                self.metadata |= file.metadata() or {}
                for name in file.keys():  # noqa: SIM118 - it is no mapping
                    header = file.get_slice(name)
                    self._files[name] = path, file
                    self._shapes[name], self._types[name] = tuple(header.get_shape()), str(header.get_dtype())

    def __getitem__(self, name: str) -> tuple[int, ...]:
        return self._shapes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def dtype(self, name: str, missing: str = "") -> str:
        """The type as safetensors writes it: BF16, F8_E4M3, I32, ...; ``missing`` of a tensor that is not there."""
        return self._types.get(name, missing)

    def read(self, name: str) -> torch.Tensor:
        """The content.

        Raises:
            SourceError: the file cannot be read.
        """
        path, file = self._files[name]
        with _reading(path):
            found: torch.Tensor = file.get_tensor(name)
            return found

    def check(self, name: str, whose: str, types: tuple[str, ...], shape: tuple[int | None, ...] | None = None) -> None:
        """Checks a tensor that belongs to another one.

        Args:
            whose: the tensor that needs it. types: what it may be of. shape: what it must have; None for any size.

        Raises:
            SourceError: missing, or of another type or shape; names both.
        """
        where = f"{self.folder}: tensor {name!r}, which belongs to {whose!r},"
        if name not in self:
            raise SourceError(f"{where} is missing")
        if self.dtype(name) not in types:
            raise SourceError(f"{where} is of type {self.dtype(name)}; allowed: {', '.join(types)}")
        if shape is not None and not _fits(self[name], shape):
            wanted = ", ".join("any" if size is None else str(size) for size in shape)
            raise SourceError(f"{where} has shape {list(self[name])}; the rest of it asks for [{wanted}]")


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model: those of its index, the one of the usual name, or the only one.

    Raises:
        SourceError: none, one that the index names is missing, or several without an index.
    """
    index = next(iter(sorted(folder.glob(f"*{_SUFFIX}.index.json"))), None)
    if index is not None:
        names = read_json(index).get("weight_map")
        if not isinstance(names, dict) or not names:
            raise SourceError(f"{index} has no weight_map")
        paths = [folder / name for name in sorted({str(name) for name in names.values()})]
        missing = next((path for path in paths if not path.is_file()), None)
        if missing is not None:
            raise SourceError(f"{missing} is missing; {index.name} names it")
        return paths
    if (folder / _WHOLE).is_file():
        return [folder / _WHOLE]
    found = sorted(folder.glob(f"*{_SUFFIX}"))
    if not found:
        raise SourceError(f"{folder}: quantised weights are read from safetensors, and there is no such file")
    if len(found) > 1:
        raise SourceError(
            f"{folder}: there are several files of weights ({found[0].name}, {found[1].name}) and no index of them"
        )
    return found


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (SafetensorError, OSError, RuntimeError) as error:
        raise SourceError(f"{path} cannot be read: {first_line(error)}") from error


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        size is None or size == found for found, size in zip(shape, wanted, strict=True)
    )
