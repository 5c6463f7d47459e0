"""Names of GGUF files, among them those of models in several: NAME-00001-of-00003.gguf."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")


def name_of(path: Path) -> str:
    """The name of the model in a file, or in the files of which it is one."""
    return PART.sub("", path.name).removesuffix(".gguf")


def first_part(paths: Sequence[Path]) -> Path | None:
    """The first of ``paths``, which are in order, if all of them are parts of one model."""
    found = [(name_of(path), PART.search(path.name)) for path in paths]
    models = {(name, part[2] if part is not None else None) for name, part in found}
    return paths[0] if len(models) == 1 and found[0][1] is not None else None
