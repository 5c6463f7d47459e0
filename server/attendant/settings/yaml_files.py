"""Files of settings, which are YAML: what is wrong with one is told in one line that names it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from attendant.core.errors import ConfigurationError

_WRONG_VALUES = (ValueError, LookupError, AttributeError)
"""What PyYAML raises beside its own errors: of a date that there is not, or of a tag that does not fit its value."""


def read_text(path: Path) -> str:
    """The text of a file. Raises ConfigurationError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def parse_yaml(text: str, name: str) -> Any:
    """What the file ``name`` with this text says. Raises ConfigurationError."""
    with _telling(name):
        return yaml.safe_load(text)


def compose_yaml(text: str, name: str) -> yaml.Node | None:
    """The same as nodes, which know their lines; None: the file is empty. Raises ConfigurationError."""
    with _telling(name):
        return yaml.compose(text, Loader=yaml.SafeLoader)


@contextmanager
def _telling(name: str) -> Iterator[None]:
    try:
        yield
    except (yaml.YAMLError, *_WRONG_VALUES) as error:
        raise ConfigurationError(f"{name}: is not valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ConfigurationError(f"{name}: is nested too deep") from None
