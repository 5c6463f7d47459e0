"""Reads the JSON files of a model folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from attendant_export.errors import SourceError


def read_json(path: Path, *, missing_ok: bool = False) -> dict[str, Any]:
    """A JSON object; {} if the file is missing and may be.

    Raises:
        SourceError: missing, unreadable or not an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if missing_ok:
            return {}
        raise SourceError(f"{path} is missing") from None
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise SourceError(f"{path} does not hold a JSON object")
    return content
