"""DeepSeek's formats: a mark before all calls, before and after each, and one between its name and its arguments."""

from __future__ import annotations

from attendant.frontend.answers.reader import SPACE, NoCall, Reader, Step
from attendant.frontend.answers.tagged import named_arguments
from attendant.frontend.answers.told import Told

ALL_BEGIN, ALL_END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
BEGIN, SEPARATOR, END = "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"
_FENCE = "```"


def deepseek_section(reader: Reader, told: Told) -> Step[None]:
    """Calls of V3 and R1 (``function``, the separator, the name, a line break, the arguments in a fence of code), or
    of V3.1 (the name, the separator, the arguments)."""
    yield from reader.whole_run(SPACE)
    yield from reader.take_one_of((BEGIN,))  # where the mark before all calls is missing, it was taken as that
    while True:
        yield from _call(reader, told)
        yield from reader.take_one_of((END,))
        reader.mark()
        yield from reader.whole_run(SPACE)
        match (yield from reader.take_one_of((BEGIN, ALL_END))):
            case mark if mark != BEGIN:
                return


def _call(reader: Reader, told: Told) -> Step[None]:
    head: list[str] = []
    if not (yield from reader.until((SEPARATOR,), head.append)):
        raise NoCall
    name = "".join(head).strip()
    yield from reader.whole_run(SPACE)
    fenced = False
    if (yield from reader.peek()) != "{":
        line: list[str] = []
        if name == "function":
            yield from reader.until(("\n",), line.append)
            name = "".join(line).strip()
            yield from reader.whole_run(SPACE)
        fenced = bool((yield from reader.take_one_of((f"{_FENCE}json", _FENCE))))
    told.begin_call(name)
    yield from named_arguments(reader, told)
    told.end_call()
    yield from reader.whole_run(SPACE)
    if fenced:
        yield from reader.take_one_of((_FENCE,))
        yield from reader.whole_run(SPACE)
