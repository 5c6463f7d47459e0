"""The digest of an answer as it is on the wire."""

from __future__ import annotations

import hashlib
from typing import Any

NOT_THE_ANSWER = ("usage", "timings", "receipt")
"""Fields of a response that are another at each call."""


def answer_digest(response: Any) -> str:
    """SHA-256 of a response without usage, timings and receipt, in hexadecimal digits. It is left as it is."""
    return hashlib.sha256(bare(response).SerializeToString(deterministic=True)).hexdigest()


def bare(response: Any) -> Any:
    """A copy of a response without what is another at each call."""
    copy = type(response)()
    copy.CopyFrom(response)
    for name in NOT_THE_ANSWER:
        if name in copy.DESCRIPTOR.fields_by_name:
            copy.ClearField(name)
    return copy
