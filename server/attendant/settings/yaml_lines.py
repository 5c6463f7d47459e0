"""Where things stand in a YAML file, for errors that name the line; a key that is there twice is an error."""

from __future__ import annotations

from dataclasses import dataclass, field

import yaml

from attendant.core.errors import ConfigurationError
from attendant.settings.yaml_files import compose_yaml

MAX_DEPTH = 16
"""Of values in values."""

Place = tuple[str | int, ...]
"""The way to a value: keys, and indices of lists."""


@dataclass(frozen=True)
class YamlLines:
    """The lines of one file, counted from 1. ``name``: of the file."""

    name: str
    _lines: dict[Place, int] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str, name: str) -> YamlLines:
        """Raises ConfigurationError: it is no YAML, or has a key twice."""
        root = compose_yaml(text, name)
        found = cls(name)
        if root is not None:
            found._walk(root, ())
        return found

    def __contains__(self, place: Place) -> bool:
        return place in self._lines

    def named(self, place: Place) -> str:
        """File, line and place, as errors begin; the line of what is nearest around a place that is not there."""
        nearest = next((place[:end] for end in range(len(place), -1, -1) if place[:end] in self._lines), ())
        shown = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")
        return f"{self.name}:{self._lines.get(nearest, 1)}: {shown}" if shown else self.name

    def _walk(self, node: yaml.Node, place: Place) -> None:
        self._lines.setdefault(place, node.start_mark.line + 1)
        if len(place) > MAX_DEPTH:  # a node may be within itself
            raise ConfigurationError(f"{self.named(place[:3])}: is nested too deep")
        if isinstance(node, yaml.SequenceNode):
            for index, part in enumerate(node.value):
                self._walk(part, (*place, index))
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                inner = (*place, str(key.value))
                if inner in self._lines:
                    self._lines[inner] = key.start_mark.line + 1
                    raise ConfigurationError(f"{self.named(inner)}: is there twice; allowed: once")
                self._lines[inner] = key.start_mark.line + 1
                self._walk(value, inner)
