"""A new token, and the line that makes its owner known: the token itself is written nowhere."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from datetime import date
from hashlib import sha256

from attendant.core.caller import Right

PREFIX = "attendant-"
"""What tokens begin with, so that people and scanners know one when they see it."""
NUM_BYTES = 32


def new_token() -> str:
    """A token of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(NUM_BYTES)


def line_of(token: str, name: str, models: Sequence[str], rights: Sequence[Right], expires: date | None) -> str:
    """The line of the file of callers that makes ``name`` known by ``token``."""
    fields = {
        "name": json.dumps(name),
        "sha256": json.dumps(sha256(token.encode()).hexdigest()),
        "models": json.dumps(list(models)),
        "scopes": f"[{', '.join(rights)}]",
        **({"expires": expires.isoformat()} if expires is not None else {}),
    }
    return f"- {{{', '.join(f'{key}: {value}' for key, value in fields.items())}}}"
