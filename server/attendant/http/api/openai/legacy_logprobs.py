"""Log-probabilities as Completions have them: lists side by side, tokens by their text, with their places in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attendant.core.generation import Delta, Finish
from attendant.http.api.openai.logprobs import Logprobs


class LegacyLogprobs:
    """Those of one sequence, told with the text that they are of. See :class:`Logprobs` for the arguments."""

    def __init__(self, *, stops: bool = False, as_ids: bool = False) -> None:
        self._entries = Logprobs(stops=stops, as_ids=as_ids)
        self._as_ids = as_ids
        self._num_characters = 0

    def take(self, deltas: Sequence[Delta], finish: Finish | None) -> dict[str, Any]:
        """What goes with ``deltas``; and with the end of the sequence, if there is one."""
        entries = [entry for delta in deltas for entry in self._entries.take(delta)]
        if finish is not None:
            entries += self._entries.end(finish.stop_string)
        return {
            "tokens": [self._name(entry) for entry in entries],
            "token_logprobs": [entry["logprob"] for entry in entries],
            "top_logprobs": [self._top(entry) for entry in entries],
            "text_offset": [self._offset(entry["bytes"]) for entry in entries],
        }

    def _top(self, entry: dict[str, Any]) -> dict[str, float]:
        """The most probable tokens, and the one that was chosen."""
        told: dict[str, float] = {}
        for each in (*entry["top_logprobs"], entry):
            told.setdefault(self._name(each), each["logprob"])
        return told

    def _name(self, entry: dict[str, Any]) -> str:
        """A token's text; of one that has only a part of a character, its bytes as OpenAI writes them."""
        found = bytes(entry["bytes"])
        if self._as_ids or not found:
            return str(entry["token"])
        try:
            return found.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join([f"\\x{byte:02x}" for byte in found])

    def _offset(self, found: Sequence[int]) -> int:
        """Characters before the one that a token begins in."""
        begun = sum([byte & 0xC0 != 0x80 for byte in found])
        goes_on = bool(found) and found[0] & 0xC0 == 0x80
        offset = self._num_characters - goes_on
        self._num_characters += begun
        return offset
