"""What Triton's clients raise, over gRPC and over HTTP, as what a test reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tritonclient.utils import InferenceServerException


def told_error(error: InferenceServerException) -> dict[str, Any]:
    """An error as the client has it: ``status`` is None for one of a stream that goes on."""
    return {"error": error.message(), "status": error.status()}


def or_error(act: Callable[[], Any]) -> Any:
    """What ``act`` gives, or its error as :func:`told_error` has it."""
    try:
        return act()
    except InferenceServerException as error:
        return told_error(error)
