"""Writing an answer to a terminal as it comes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import TextIO

from attendant_proto.v1 import generation_pb2 as pb

# A model's text must not move the cursor or rename the window: control characters but tab and newline are left out.
_CONTROLS = dict.fromkeys([*range(9), *range(11, 32), *range(127, 160)])


def printable(text: str) -> str:
    """``text`` without what would do something to the terminal."""
    return text.translate(_CONTROLS)


class ToolCalls:
    """The tool calls of an answer, put together from their pieces."""

    def __init__(self) -> None:
        self._calls: dict[int, pb.ToolCall] = {}

    @property
    def whole(self) -> list[pb.ToolCall]:
        """Those whose arguments have come to their end, in order. Where an answer is cut within a call, by Ctrl-C or by
        the limit of tokens, what came of that is none: no server takes it back as one."""
        return [self._calls[index] for index in sorted(self._calls) if _is_object(self._calls[index].arguments)]

    def take(self, response: pb.GenerateResponse) -> None:
        """Take in the pieces of a response."""
        for piece in response.tool_calls:
            call = self._calls.setdefault(piece.index, pb.ToolCall(index=piece.index))
            call.id, call.name = call.id or piece.id, call.name or piece.name
            call.arguments += piece.arguments


class Answer:
    """One sequence as far as it has come: its text, and how it ended.

    Args:
        begun: what the answer begins with; the server gives the rest.
    """

    def __init__(self, begun: str = "") -> None:
        self.text = begun
        self.reasoning = ""
        self._thought = False
        self.calls = ToolCalls()
        self.finish: pb.Finish | None = None

    def message(self) -> pb.ChatMessage:
        """The answer as a message of the conversation."""
        calls = [pb.ToolCall(id=call.id, name=call.name, arguments=call.arguments) for call in self.calls.whole]
        content = self.text or None if calls else self.text
        return pb.ChatMessage(role="assistant", content=content, reasoning=self.reasoning, tool_calls=calls)

    def show(self, responses: Iterable[pb.GenerateResponse]) -> None:
        """Write the text to standard output as it arrives, and a newline whatever happens. Tool calls follow, a JSON
        object a line; reasoning goes to standard error."""
        clean = sys.stdout.isatty()
        _write(self.text, sys.stdout, clean=clean)
        try:
            for response in responses:
                self.text += response.text
                self._think(response)
                _write(response.text, sys.stdout, clean=clean)
                self.calls.take(response)
                if response.HasField("finish"):
                    self.finish = response.finish
        finally:
            if self.text or not self.calls.whole:
                print(flush=True)
            for call in self.calls.whole:
                words = json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False)
                print(printable(words) if clean else words, flush=True)

    def _think(self, response: pb.GenerateResponse) -> None:
        """Show what is thought, and a newline where it ends."""
        if response.reasoning:
            _write(response.reasoning, sys.stderr, clean=sys.stderr.isatty())
        elif self.reasoning and not self._thought:
            print(file=sys.stderr, flush=True)
            self._thought = True
        self.reasoning += response.reasoning


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _write(text: str, stream: TextIO, *, clean: bool) -> None:
    stream.write(printable(text) if clean else text)
    stream.flush()
