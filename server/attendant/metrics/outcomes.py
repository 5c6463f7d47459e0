"""What the ways are called in which a call, a row or a request ends, as label values."""

from __future__ import annotations

import re

from attendant.core.errors import AttendantError, ConfigurationError

SUCCESS = "success"


def error_name(error: type[AttendantError]) -> str:
    """Label value of an error class: ``QueueFull`` is ``queue_full``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", error.__name__).lower()


def request_errors() -> list[type[AttendantError]]:
    """Every error that can end a request."""
    found = [AttendantError]
    for error in found:
        found.extend(sub for sub in error.__subclasses__() if not issubclass(sub, ConfigurationError))
    return found
