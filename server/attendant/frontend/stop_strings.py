"""Finds stop strings in streamed text and never lets a part of one through."""

from __future__ import annotations

from collections.abc import Sequence


class StopStrings:
    """Searches the text of one sequence for the first of ``stops``."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._stops)

    def push(self, text: str) -> tuple[str, str | None]:
        """Take new text in.

        Returns:
            The text that may be shown, and the stop string that was found, if one was: then the stream is over.
        """
        if not self._stops:
            return text, None
        text = self._held + text
        found = [(at, stop) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            at, stop = min(found, key=lambda pair: pair[0])
            self._held = ""
            return text[:at], stop
        keep = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], None

    def flush(self) -> str:
        """The text still held; no stop string came of it."""
        text, self._held = self._held, ""
        return text


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of ``text`` that begins ``stop``, without being all of it."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
