"""Writing an answer to a terminal as it comes."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from attendant_proto.v1 import generation_pb2 as pb

# A model's text must not move the cursor or rename the window: control characters but tab and newline are left out.
_CONTROLS = dict.fromkeys([*range(9), *range(11, 32), *range(127, 160)])


def printable(text: str) -> str:
    """``text`` without what would do something to the terminal."""
    return text.translate(_CONTROLS)


class Answer:
    """One sequence as far as it has come: its text, and how it ended."""

    def __init__(self) -> None:
        self.text = ""
        self.finish: pb.Finish | None = None

    def show(self, responses: Iterable[pb.GenerateResponse]) -> None:
        """Write the text to standard output as it arrives, and a newline whatever happens."""
        clean = sys.stdout.isatty()
        try:
            for response in responses:
                self.text += response.text
                sys.stdout.write(printable(response.text) if clean else response.text)
                sys.stdout.flush()
                if response.HasField("finish"):
                    self.finish = response.finish
        finally:
            print(flush=True)
