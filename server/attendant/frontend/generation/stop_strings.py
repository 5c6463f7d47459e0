"""Finds stop strings in streamed text and never lets a part of one through."""

from __future__ import annotations

from collections.abc import Sequence

Hidden = list[tuple[int, int]]
"""Parts of a text that are not shown: begins and ends, in order."""


class StopStrings:
    """Searches the text of one sequence for the first of ``stops``.

    Special tokens are no part of the text that is shown, yet a stop string may be one, or have one in it: it is found
    in the text as it is shown, and in the text with them.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self._hidden: Hidden = []

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._stops)

    def push(self, text: str, hidden: str = "") -> tuple[str, str | None]:
        """Take new text in.

        Args:
            hidden: text of a special token, which comes after ``text`` and is not shown.

        Returns:
            The text that may be shown, and the stop string that was found, if one was: then the stream is over.
        """
        if not self._stops:
            return text, None
        text = self._held + text
        if hidden:
            self._hidden.append((len(text), len(text) + len(hidden)))
            text += hidden
        shown = _shown(text, self._hidden)
        if found := self._find(text, shown):
            at, stop = found
            self._held, self._hidden = "", []
            return shown[:at], stop
        cut = len(text) - self._overlap(text)
        if self._hidden:
            cut = min(cut, _place(len(shown) - self._overlap(shown), self._hidden))
        done = _shown(text[:cut], _before(self._hidden, cut))
        self._held = text[cut:]
        self._hidden = [(max(begin - cut, 0), end - cut) for begin, end in self._hidden if end > cut]
        return done, None

    def flush(self) -> str:
        """The text still held; no stop string came of it."""
        text = _shown(self._held, self._hidden)
        self._held, self._hidden = "", []
        return text

    def _find(self, text: str, shown: str) -> tuple[int, str] | None:
        """The stop string that begins first, and where in the text that is shown."""
        found = [(at, stop) for stop in self._stops if (at := shown.find(stop)) >= 0]
        if self._hidden:
            whole = ((text.find(stop), stop) for stop in self._stops)
            found += [(len(_shown(text[:at], _before(self._hidden, at))), stop) for at, stop in whole if at >= 0]
        return min(found, key=lambda pair: pair[0]) if found else None

    def _overlap(self, text: str) -> int:
        """Length of the longest end of ``text`` that may become a stop string."""
        return max((_overlap(text, stop) for stop in self._stops), default=0)


def _shown(text: str, hidden: Hidden) -> str:
    """``text`` without the parts that are not shown."""
    if not hidden:
        return text
    begins = [0, *(end for _, end in hidden)]
    ends = [*(begin for begin, _ in hidden), len(text)]
    return "".join([text[begin:end] for begin, end in zip(begins, ends, strict=True)])


def _before(hidden: Hidden, at: int) -> Hidden:
    """The parts that are not shown of the first ``at`` characters."""
    return [(begin, min(end, at)) for begin, end in hidden if begin < at]


def _place(at: int, hidden: Hidden) -> int:
    """Where in the whole text the character ``at`` of the shown one stands."""
    for begin, end in hidden:
        if begin > at:
            break
        at += end - begin
    return at


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of ``text`` that begins ``stop``, without being all of it."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
