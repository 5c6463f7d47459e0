"""What an answer was made of, in a form that has one digest: a receipt. docs/replay.md shows the form to users."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from attendant.core.token_sequences import TokenSequences


@dataclass(frozen=True, slots=True)
class Maker:
    """What makes a model's answers, beside what is asked: where makers are equal, so are bits.

    Attributes:
        model, version: of the model, as callers know it.
        bundle: SHA-256 of its ``bundle.json``, which holds those of all its files; empty for one that no file was read
            for.
        precision: of its weights.
        server: version of the server.
        libraries: those that compute, and their versions.
        processor: its kind, and the features that kernels are chosen by.
        threads: of a model run. Results do not depend on them, so that they are no part of a receipt's digest.
    """

    model: str
    version: str
    bundle: str
    precision: str
    server: str
    libraries: Mapping[str, str]
    processor: str
    threads: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Receipt:
    """The receipt of one answer.

    Attributes:
        call: the task of a model that encodes, "generate", or "speech".
        settings: what held after the model's defaults, as :func:`settings_text` writes it.
        input: digest of what went into the model. output: of the answer; empty as long as there is none.
        seed: of an answer that was drawn; None where nothing was left to chance.
    """

    maker: Maker
    call: str
    settings: str
    input: str
    output: str = ""
    seed: int | None = None

    @cached_property
    def canonical(self) -> str:
        """JSON of strings with sorted keys, without spaces and with every character as itself (RFC 8785); without the
        seed where there is none."""
        maker = {entry.name: getattr(self.maker, entry.name) for entry in fields(Maker) if entry.compare}
        own = {name: getattr(self, name) for name in ("call", "settings", "input", "output")}
        seed = {} if self.seed is None else {"seed": str(self.seed)}
        whole = {"maker": maker | {"libraries": dict(self.maker.libraries)}, **own, **seed}
        return json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical form in UTF-8, in 64 hexadecimal digits, as all digests here."""
        return hashlib.sha256(self.canonical.encode()).hexdigest()


class TokenDigest:
    """SHA-256 of token ids as 32-bit little-endian numbers, a few at a time."""

    def __init__(self, token_ids: Iterable[int] = ()) -> None:
        self._hash = hashlib.sha256()
        self.update(token_ids)

    def update(self, token_ids: Iterable[int]) -> None:
        """Take further tokens in."""
        self._hash.update(np.fromiter(token_ids, "<u4").tobytes())

    def hexdigest(self) -> str:
        """The digest of all tokens so far."""
        return self._hash.hexdigest()


def arrays_digest(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """SHA-256 of arrays: by their sorted names, of each a line of name, type and shape (``input_ids int64 7``), and its
    numbers, little-endian, in the order of C. 32 bytes."""
    whole = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        whole.update(f"{' '.join([name, array.dtype.name, *map(str, array.shape)])}\n".encode())
        whole.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return whole.digest()


def settings_text(settings: Mapping[str, Any]) -> str:
    """Settings as JSON with sorted keys and without spaces. Those that are None, false or empty are left out."""
    kept = {name: _plain(value) for name, value in settings.items() if not _is_off(value)}
    return json.dumps(kept, sort_keys=True, separators=(",", ":"), allow_nan=False)


def changed_fields(settings: Any, *left_out: str) -> dict[str, Any]:
    """The fields of a dataclass that have another value than their default, or have none."""
    return {
        entry.name: getattr(settings, entry.name)
        for entry in fields(settings)
        if entry.init and entry.name not in left_out and not _is_default(entry, getattr(settings, entry.name))
    }


def _is_default(entry: Any, value: Any) -> bool:
    """Whether a field of a dataclass has its default; one with a factory, whether it is empty."""
    return bool(value == entry.default) or (callable(entry.default_factory) and not value)


def _is_off(value: Any) -> bool:
    return value is None or value is False or (isinstance(value, str | tuple | Mapping) and not value)


def _plain(value: Any) -> Any:
    """A value in the words of JSON."""
    if isinstance(value, TokenSequences):
        return [[list(tokens), number] for tokens, number in value.entries]
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(part) for name, part in changed_fields(value).items()}
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, tuple | list) else value
