"""The signatures of what a model thought: a caller gives them back with the next turn."""

from __future__ import annotations

import base64
import binascii
import hashlib

_KEPT = "kept."


def signature_of(thought: str, *, shown: bool) -> str:
    """What stands for a thought: if it is shown a digest of it, and else the thought itself, for the next turn."""
    if shown:
        return hashlib.sha256(thought.encode("utf-8", "replace")).hexdigest()
    return _KEPT + base64.b64encode(thought.encode("utf-8", "replace")).decode()


def thought_of(thinking: str, signature: str) -> str:
    """What was thought: as it was given back, or as its signature keeps it. A signature of another maker keeps
    nothing."""
    if thinking or not signature.startswith(_KEPT):
        return thinking
    try:
        return base64.b64decode(signature[len(_KEPT) :], validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return ""
