"""What browsers send besides numbers and texts: files."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

from pydantic import BeforeValidator


def _decoded(value: Any) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise ValueError("is not base64") from None


FileBytes = Annotated[bytes, BeforeValidator(_decoded)]
"""A file, base64 in JSON."""
