"""How values stand in a line: nothing that a caller chose can end one, or begin another."""

from __future__ import annotations

import json
import re
import time
from typing import Any

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_PLAIN = re.compile(r"[!#-<>-~]+")  # visible ASCII but quotes and =
INDENT = "    "
"""Before every further line of a message: a line of the log begins with a time, never with a space."""


def safe(text: str) -> str:
    """Text of a message, on lines that are indented but for the first; other control characters are written out."""
    if _CONTROLS.search(text) is not None:
        text = _CONTROLS.sub(_written_out, text)
    return text.replace("\n", f"\n{INDENT}") if "\n" in text else text


def pair(name: str, value: Any) -> str:
    """``name=value``, in quotes as JSON has them where the value is not plain."""
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) is not None
        return f"{name}={value if plain else json.dumps(value)}"
    if isinstance(value, bool):
        return f"{name}={'true' if value else 'false'}"
    if isinstance(value, list):
        return pair(name, ",".join(map(str, value)))
    return f"{name}={value}"


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


class Times:
    """Writes times as RFC 3339 has them, in UTC, to the millisecond. Belongs to one thread."""

    def __init__(self) -> None:
        self._second, self._written = -1, ""

    def of(self, seconds: float) -> str:
        """``seconds`` since 1970."""
        whole, milliseconds = divmod(int(seconds * 1000), 1000)
        if whole != self._second:
            self._second, self._written = whole, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
        return f"{self._written}.{milliseconds:03d}Z"
