"""What ``prepare`` hands to ``run``: a folder of bundles and reference logits, described by ``kit.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from attendant_loadtest.gpu.shapes import Sizes

KIT_FILE = "kit.json"

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


class KitError(Exception):
    """There is no kit where one was expected; the message says what to do."""


@dataclass(frozen=True, slots=True)
class SmallModel:
    """A small model with weights. ``bundle`` and ``references`` are relative to the kit.

    ``routed``: a mixture of experts. ``own_error``: how far torch's logits in ``dtype`` are from its logits in float32
    with the same weights, as :class:`attendant_loadtest.gpu.parity.Errors` has it: largest, and 0.9 quantile.
    """

    name: str
    dtype: str
    bundle: str
    references: str
    routed: bool
    own_error: float
    own_error_p90: float


@dataclass(frozen=True, slots=True)
class Reference:
    """A prompt [n] int64, the tokens [m] int64 that torch chooses after it, and the logits [m, vocab_size] float32
    that it chose them from, in float32 over weights rounded to the bundle's type."""

    prompt: Ints
    tokens: Ints
    logits: Floats


@dataclass(frozen=True, slots=True)
class Kit:
    """A kit at ``folder``. ``llamas``: hollow bundles by size, relative to it. ``versions``: that made it."""

    folder: Path
    dry_run: bool
    sizes: Sizes
    small: tuple[SmallModel, ...]
    llamas: Mapping[str, str]
    versions: Mapping[str, str]

    def save(self) -> None:
        """Write ``kit.json``."""
        fields = asdict(self)
        del fields["folder"]
        (self.folder / KIT_FILE).write_text(json.dumps(fields, indent=1), encoding="utf-8")

    def only(self, models: tuple[str, ...]) -> Kit:
        """This kit with the speed of these Llamas measured and no other's."""
        return replace(self, sizes=replace(self.sizes, models=models))

    @classmethod
    def load(cls, folder: Path) -> Kit:
        """Read ``kit.json``.

        Raises:
            KitError: it is not there, or of another version of the kit.
        """
        try:
            fields = json.loads((folder / KIT_FILE).read_text(encoding="utf-8"))
            sizes = Sizes(**{name: _tuples(value) for name, value in fields.pop("sizes").items()})
            small = tuple(SmallModel(**model) for model in fields.pop("small"))
            return cls(folder=folder, sizes=sizes, small=small, **fields)
        except FileNotFoundError:
            raise KitError(
                f"{folder} holds no {KIT_FILE}; `python -m attendant_loadtest.gpu prepare` makes it"
            ) from None
        except (KeyError, TypeError, ValueError) as error:
            raise KitError(f"{folder / KIT_FILE} is not of this version ({error}); prepare the kit again") from error


def save_references(path: Path, references: list[Reference]) -> None:
    """Write what :func:`load_references` reads."""
    arrays = {f"{name}_{i}": getattr(r, name) for i, r in enumerate(references) for name in Reference.__slots__}
    np.savez_compressed(path, **arrays)


def load_references(path: Path) -> list[Reference]:
    """Loads them in the order in which they were saved."""
    with np.load(path) as arrays:
        count = len(arrays.files) // len(Reference.__slots__)
        return [Reference(*(arrays[f"{name}_{i}"] for name in Reference.__slots__)) for i in range(count)]


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
