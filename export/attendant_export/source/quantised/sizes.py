"""How many rows or channels have one scale: by what a checkpoint's settings name, and by how many scales there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from attendant_export.errors import SourceError

_BLOCKS = ("weight_block_size", "block_size", "block_structure")
_CONFIGS = ("config_groups", "layer_quant_config", "quantized_layers")
"""Settings of several kinds of modules, by a name for each."""


@dataclass(frozen=True)
class Sizes:
    """The sizes that a checkpoint names, of rows and of channels."""

    rows: frozenset[int] = frozenset()
    channels: frozenset[int] = frozenset()

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Sizes:
        """All sizes in ``settings``, whichever modules they are for.

        Raises:
            SourceError: a size that is no positive number; names it.
        """
        rows: set[int] = set()
        channels: set[int] = set()
        for part in _parts(settings):
            for name in _BLOCKS:
                if part.get(name) is not None:
                    block = _pair(name, part[name])
                    rows.add(block[0])
                    channels.add(block[1])
            group = part.get("group_size")
            if isinstance(group, int) and group > 0:  # -1 stands for all channels
                channels.add(group)
        return cls(frozenset(rows), frozenset(channels))

    def channel(self, length: int, count: int) -> int | None:
        """See :func:`size_of`."""
        return size_of(length, count, self.channels)


def size_of(length: int, count: int, named: frozenset[int]) -> int | None:
    """How many of ``length`` neighbours have one of ``count`` scales; the last one may have fewer.

    What the checkpoint names counts before an even share: 192 rows with 2 scales are 128 and 64 where it names 128.
    Without it, an even share counts that is a power of two. None where nothing fits, or several sizes that are named.
    """
    if count in (1, length):
        return length if count == 1 else 1
    fitting = [size for size in named if -(-length // size) == count]
    if fitting:
        return fitting[0] if len(fitting) == 1 else None
    size, rest = divmod(length, max(count, 1))
    return size if count and not rest and size & (size - 1) == 0 else None


def _parts(settings: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield settings
    nested = [settings.get("global_quant_config")]
    for name in _CONFIGS:
        named = settings.get(name)
        nested += list(named.values()) if isinstance(named, dict) else []
    for each in nested:
        if isinstance(each, dict):
            yield each
            weights = each.get("weights", each.get("weight"))
            yield from (
                part for part in (weights if isinstance(weights, list) else [weights]) if isinstance(part, dict)
            )


def _pair(name: str, found: Any) -> tuple[int, int]:
    if not (isinstance(found, list) and len(found) == 2 and all(isinstance(size, int) and size > 0 for size in found)):
        raise SourceError(f"config.json: {name} is {found!r}; it must be two positive numbers")
    return found[0], found[1]
