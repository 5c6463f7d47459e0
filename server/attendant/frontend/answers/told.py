"""What parsers tell of an answer: its text, its reasoning, and its tool calls piece by piece."""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from attendant.core.chat import ToolCallDelta
from attendant.frontend.answers.reader import NoCall

_ALPHABET = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class Piece:
    """New text of each kind; reasoning comes before text, and text before calls."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()


NOTHING = Piece()


@dataclass(frozen=True, slots=True)
class Callables:
    """The tools that an answer may call.

    Attributes:
        schemas: the JSON schema of the arguments of each, by name; None: any tool may be called.
        id_length: letters of the id of a call; 0: "call_" and 24 letters.
    """

    schemas: Mapping[str, Mapping[str, Any]] | None = None
    id_length: int = 0

    def knows(self, name: str) -> bool:
        """Whether there is such a tool."""
        return bool(name) and (self.schemas is None or name in self.schemas)

    def new_id(self) -> str:
        """An id that no other call has."""
        letters = "".join([secrets.choice(_ALPHABET) for _ in range(self.id_length or 24)])
        return letters if self.id_length else f"call_{letters}"


@dataclass(slots=True)
class Told:
    """Collects what a parser finds until somebody takes it.

    Attributes:
        num_calls: that are whole.
        unparsed: something looked like a call, and was none that can be read, or was cut.
        broken: indices of calls of which pieces were told before they turned out to be none.
        cut: the answer ends where a limit or a stop string cut it.
    """

    tools: Callables
    num_calls: int = 0
    unparsed: bool = False
    cut: bool = False
    broken: set[int] = field(default_factory=set)
    _text: list[str] = field(default_factory=list)
    _reasoning: list[str] = field(default_factory=list)
    _calls: list[ToolCallDelta] = field(default_factory=list)
    _num_begun: int = 0
    _open: bool = False

    def text(self, text: str) -> None:
        """Text of the answer."""
        self._text.append(text)

    def reasoning(self, text: str) -> None:
        """Text that is thought, not said."""
        self._reasoning.append(text)

    def begin_call(self, name: str) -> None:
        """A call of a tool begins. Raises NoCall if there is no such tool."""
        if not self.tools.knows(name):
            raise NoCall
        self._calls.append(ToolCallDelta(self._num_begun, "", self.tools.new_id(), name))
        self._num_begun += 1
        self._open = True

    def arguments(self, text: str) -> None:
        """More of the arguments of the call that has begun."""
        self._calls.append(ToolCallDelta(self._num_begun - 1, text))

    def end_call(self) -> None:
        """The call that has begun is whole."""
        self.num_calls += 1
        self._open = False

    def no_call(self, text: str, *, looks: bool, was_cut: bool | None = None) -> bool:
        """What was read as a call is none: ``text`` is all of it. Of one that was cut, what was told stays a call.

        Args:
            was_cut: where more was read since that showed; None: the answer has been cut now.

        Returns:
            Whether it stays a call, so that what is left of the text is none.
        """
        self.unparsed |= looks
        if self._open and (self.cut if was_cut is None else was_cut):
            self._open = False
            return True
        if self._open:
            self.broken.add(self._num_begun - 1)
            self._open = False
        self.text(text)
        return False

    def take(self) -> Piece:
        """What came since the last time."""
        piece = Piece("".join(self._text), "".join(self._reasoning), joined(self._calls))
        self._text, self._reasoning, self._calls = [], [], []
        return piece


def joined(deltas: Iterable[ToolCallDelta]) -> tuple[ToolCallDelta, ...]:
    """Pieces of calls with those of each call that follow one another as one."""
    found: list[ToolCallDelta] = []
    for delta in deltas:
        last = found[-1] if found else None
        if last is not None and last.index == delta.index:
            found[-1] = ToolCallDelta(last.index, last.arguments + delta.arguments, last.id, last.name)
        else:
            found.append(delta)
    return tuple(found)


def without(deltas: Iterable[ToolCallDelta], broken: set[int]) -> tuple[ToolCallDelta, ...]:
    """Calls without those whose indices are ``broken``, numbered anew."""
    numbers: dict[int, int] = {}
    kept = [delta for delta in joined(deltas) if delta.index not in broken]
    for delta in kept:
        numbers.setdefault(delta.index, len(numbers))
    return tuple([ToolCallDelta(numbers[d.index], d.arguments, d.id, d.name) for d in kept])
