"""What an answer begins with where a model thinks before it speaks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from attendant.frontend.answers.reader import SPACE, Reader, Step, without
from attendant.frontend.answers.told import Told

_LINE_BREAKS = re.compile(r"\n+")


@dataclass(frozen=True, slots=True)
class ReasoningMarks:
    """What stands before the thoughts, and after them: any of some texts each."""

    begins: tuple[str, ...]
    ends: tuple[str, ...]


def reasoning(reader: Reader, told: Told, marks: ReasoningMarks, *, begun: bool) -> Step[None]:
    """Take the thoughts that an answer begins with, if it does, without the line breaks around them, and those before
    what follows.

    Args:
        begun: the prompt has the begin of the thoughts.
    """
    space = yield from reader.whole_run(SPACE)
    opened = yield from reader.take_one_of(marks.begins)
    if not opened and not begun:
        reader.give_back(space)
        return
    if not opened:
        told.reasoning(space.lstrip("\n"))
    yield from reader.whole_run(_LINE_BREAKS)
    if (yield from _thoughts(reader, told, marks.ends)):
        yield from reader.whole_run(_LINE_BREAKS)


def _thoughts(reader: Reader, told: Told, ends: Sequence[str]) -> Step[str]:
    """The thoughts; line breaks are told with what follows them."""
    plain = without("\n" + "".join(end[0] for end in ends))
    held = ""
    while True:
        if text := (yield from reader.run(plain)):
            told.reasoning(held + text)
            held = ""
        elif breaks := (yield from reader.run(_LINE_BREAKS)):
            held += breaks
        elif end := (yield from reader.take_one_of(ends)):
            return end
        elif char := (yield from reader.peek()):
            told.reasoning(held + char)
            held = ""
            reader.advance()
        else:
            return ""
