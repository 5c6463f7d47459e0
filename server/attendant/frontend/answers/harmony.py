"""gpt-oss's format: an answer is messages, each for a channel: what is thought, what is said, calls of tools."""

from __future__ import annotations

import re

from attendant.frontend.answers.reader import SPACE, NoCall, Reader, Step
from attendant.frontend.answers.tagged import named_arguments
from attendant.frontend.answers.told import Told

START, CHANNEL, CONSTRAIN, MESSAGE = "<|start|>", "<|channel|>", "<|constrain|>", "<|message|>"
END, CALL, RETURN = "<|end|>", "<|call|>", "<|return|>"
MARKS = (START, CHANNEL, CONSTRAIN, MESSAGE, END, CALL, RETURN)

_ENDS = (END, CALL, RETURN, START)
_RECIPIENT = re.compile(r"\bto=([^\s<]+)")
_CHANNEL = re.compile(re.escape(CHANNEL) + r"\s*(\w+)")
_TOOLS = "functions."


def harmony(reader: Reader, told: Told) -> Step[None]:
    """Take an answer: messages up to its end. The head of the first one's role is in the prompt."""
    thought = False
    stop = ""
    while True:
        reader.mark()
        yield from reader.whole_run(SPACE)
        while stop != START and (stop := (yield from reader.take_one_of(_ENDS))):
            pass
        if not (yield from reader.peek()):
            reader.marked()
            return
        head: list[str] = []
        stop = yield from reader.until((MESSAGE, *_ENDS), head.append)
        if stop != MESSAGE:
            told.text(reader.marked())  # no message: as it is
            continue
        channel, recipient = _read("".join(head))
        if recipient:
            stop = yield from _call(reader, told, recipient)
            continue
        reader.marked()
        if channel == "analysis":
            if thought:
                told.reasoning("\n")
            thought = True
            stop = yield from reader.until(_ENDS, told.reasoning)
        else:
            stop = yield from reader.until(_ENDS, told.text)


def _read(head: str) -> tuple[str, str]:
    channel, recipient = _CHANNEL.search(head), _RECIPIENT.search(head)
    return channel[1] if channel else "", recipient[1] if recipient else ""


def _call(reader: Reader, told: Told, recipient: str) -> Step[str]:
    try:
        told.begin_call(recipient.removeprefix(_TOOLS))
        yield from named_arguments(reader, told)
        yield from reader.whole_run(SPACE)
        stop = yield from reader.take_one_of(_ENDS)
        if not stop and (yield from reader.peek()):
            raise NoCall
        told.end_call()
        reader.marked()
    except NoCall:
        was_cut, rest = told.cut, list[str]()
        stop = yield from reader.until(_ENDS, rest.append)
        told.no_call(reader.marked(), looks=True, was_cut=was_cut)
    return stop
