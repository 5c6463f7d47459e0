"""How the protocol tells errors: ``{"error": "..."}``, as Triton and KServe have it."""

from __future__ import annotations

from typing import Any

from attendant.core.errors import AttendantError
from attendant.http.api.dialect import Dialect


def error_body(error: AttendantError, status: int) -> dict[str, Any]:
    """What was wrong, in words."""
    return {"error": str(error)}


OPEN_INFERENCE = Dialect(error_body, {"raw_input_contents of inputs": "binary data of inputs"})
