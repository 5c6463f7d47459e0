"""The text of an answer as parsers read it: as far as it has come. What a parser does depends on the text alone, never
on the pieces that it came in."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from functools import lru_cache
from typing import TypeAlias, TypeVar

T = TypeVar("T")

Step: TypeAlias = Generator[None, None, T]
"""Work on a text that yields while it has to wait for more of it, and returns what it found."""

SPACE = re.compile(r"\s+")

ANYTHING = re.compile(r"(?s:.)+")


@lru_cache(maxsize=128)
def without(characters: str) -> re.Pattern[str]:
    """A pattern for :meth:`Reader.run`: all characters but these."""
    return re.compile(f"[^{re.escape(characters)}]+")


class NoCall(Exception):
    """What was being read is no tool call that can be read. ``looks``: it looks like one all the same."""

    def __init__(self, *, looks: bool = True) -> None:
        self.looks = looks


class Reader:
    """A text that comes in pieces, read from its beginning on.

    Attributes:
        ended: nothing more will come.
    """

    def __init__(self) -> None:
        self._text = ""
        self._at = 0
        self._kept: list[str] | None = None  # what was read since the mark, but for what is of the present piece
        self._mark = 0
        self.ended = False

    def feed(self, text: str) -> None:
        """More of the text has come."""
        if self._kept is not None:
            self._kept.append(self._text[self._mark : self._at])
            self._mark = 0
        self._text = self._text[self._at :] + text
        self._at = 0

    def mark(self) -> None:
        """Keep what is read from here on, for :meth:`marked`."""
        self._kept, self._mark = [], self._at

    def marked(self) -> str:
        """What was read since the mark, which is taken away."""
        assert self._kept is not None, "there is a mark"
        found = "".join(self._kept) + self._text[self._mark : self._at]
        self._kept = None
        return found

    def peek(self) -> Step[str]:
        """The next character, which is not taken; empty at the end of the text."""
        while self._at == len(self._text):
            if self.ended:
                return ""
            yield
        return self._text[self._at]

    def advance(self) -> None:
        """Take the character that was peeked at; at the end there is none."""
        self._at = min(self._at + 1, len(self._text))

    def give_back(self, text: str) -> None:
        """Give back what was taken last, to be read again."""
        if self._kept is not None:
            self._kept = [("".join(self._kept) + self._text[self._mark : self._at]).removesuffix(text)]
            self._mark = 0
        self._text = text + self._text[self._at :]
        self._at = 0

    def run(self, pattern: re.Pattern[str]) -> Step[str]:
        """Take what matches ``pattern`` of what there is. The pattern is a repeated set of characters, so that any cut
        of a match is one. Empty if the next character is not in the set, or at the end."""
        if not (yield from self.peek()):
            return ""
        found = pattern.match(self._text, self._at)
        if found is None:
            return ""
        self._at = found.end()
        return found[0]

    def whole_run(self, pattern: re.Pattern[str]) -> Step[str]:
        """All of the text that matches a pattern as :meth:`run` takes it."""
        found = ""
        while piece := (yield from self.run(pattern)):
            found += piece
        return found

    def take_one_of(self, options: Sequence[str]) -> Step[str]:
        """Take the longest of ``options`` that the text goes on with; empty, and nothing is taken, if it is none."""
        while True:
            rest = len(self._text) - self._at
            if not self.ended and any(
                len(option) > rest and option.startswith(self._text[self._at :]) for option in options
            ):
                yield
                continue
            found = max((option for option in options if self._text.startswith(option, self._at)), key=len, default="")
            self._at += len(found)
            return found

    def until(self, stops: Sequence[str], tell: Callable[[str], None]) -> Step[str]:
        """Tell the text up to the first of ``stops``, and take that. Returns it; empty at the end of the text."""
        plain = without("".join(stop[0] for stop in stops))
        while True:
            if text := (yield from self.run(plain)):
                tell(text)
            elif stop := (yield from self.take_one_of(stops)):
                return stop
            elif char := (yield from self.peek()):
                tell(char)
                self.advance()
            else:
                return ""

    def expect(self, text: str) -> Step[None]:
        """Take ``text``. Raises NoCall if the text goes on with something else."""
        if not (yield from self.take_one_of((text,))):
            raise NoCall
