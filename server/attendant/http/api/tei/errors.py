"""How TEI says that something went wrong."""

from __future__ import annotations

from typing import Any

from attendant.core.errors import AttendantError
from attendant.http.api.dialect import Dialect

_TYPES = {429: "Overloaded", 503: "Unhealthy", 504: "Overloaded"}


def tei_error(error: AttendantError, status: int) -> dict[str, Any]:
    """The object that says what was wrong."""
    return {"error": str(error), "error_type": _TYPES.get(status, "Backend" if status >= 500 else "Validation")}


TEI = Dialect(tei_error, {"prompt": "prompt_name", "documents": "texts"})
