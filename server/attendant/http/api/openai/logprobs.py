"""Log-probabilities of an answer's tokens, each with its bytes: joined, these are the bytes of the text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attendant.core.events import TokenLogprob
from attendant.core.generation import Delta

LEAST = -9999.0
"""What stands for the logarithm of 0, which JSON has not."""


class Logprobs:
    """The entries of one sequence, told with the text that they are of.

    Args:
        stops: the caller gave stop strings. Text waits as long as it may become one, and its tokens wait with it; what
            a stop string took out of the text has no entry.
        as_ids: tokens are written as ``token_id:7`` in place of their text.
    """

    def __init__(self, *, stops: bool = False, as_ids: bool = False) -> None:
        self._stops = stops
        self._as_ids = as_ids
        self._waiting: list[dict[str, Any]] = []
        self._begun = False
        self._ahead = 0  # bytes of text told beyond those of entries told

    def take(self, delta: Delta) -> list[dict[str, Any]]:
        """The entries that go with a delta."""
        spell, spell_bytes = delta.spell, delta.spell_bytes
        self._waiting += [self._entry(each, spell, spell_bytes) for each in delta.logprobs]
        if not self._begun:
            text = delta.reasoning + delta.text
            if not text and not delta.tool_calls:
                return []
            self._begin(text)
        if not self._stops:
            told, self._waiting = _without_silent_end(self._waiting)
            return told
        self._ahead += len((delta.reasoning + delta.text).encode())
        told = []
        while self._waiting and len(self._waiting[0]["bytes"]) <= self._ahead:
            if not self._waiting[0]["bytes"] and not _has_bytes(self._waiting):
                break
            self._ahead -= len(self._waiting[0]["bytes"])
            told.append(self._waiting.pop(0))
        return told

    def end(self, stop_string: str | None) -> list[dict[str, Any]]:
        """The entries that are left when the sequence ends. ``stop_string``: that ended it."""
        left, self._waiting = self._waiting, []
        if stop_string is None:
            return _without_silent_end(left)[0]
        told = []
        for entry in left:
            if self._ahead <= 0:
                break
            entry["bytes"] = entry["bytes"][: self._ahead]
            self._ahead -= len(entry["bytes"])
            told.append(entry)
        return told

    def _begin(self, text: str) -> None:
        """The first token of an answer may have lost the space before it."""
        self._begun = True
        first = next((entry for entry in self._waiting if entry["bytes"]), None)
        if first is not None and first["bytes"][0] == ord(" ") and text and not text.startswith(" "):
            first["bytes"] = first["bytes"][1:]

    def _entry(
        self, entry: TokenLogprob, spell: Callable[[int], str], spell_bytes: Callable[[int], bytes]
    ) -> dict[str, Any]:
        top = [
            {
                "token": self._name(token, spell),
                "logprob": max(logprob, LEAST),
                "bytes": list(spell_bytes(token) or spell(token).encode()),
            }
            for token, logprob in entry.top
        ]
        return {
            "token": self._name(entry.token_id, spell),
            "logprob": max(entry.logprob, LEAST),
            "bytes": list(spell_bytes(entry.token_id)),
            "top_logprobs": top,
        }

    def _name(self, token: int, spell: Callable[[int], str]) -> str:
        return f"token_id:{token}" if self._as_ids else spell(token)


def _has_bytes(entries: list[dict[str, Any]]) -> bool:
    return any(entry["bytes"] for entry in entries)


def _without_silent_end(entries: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The entries up to the last one that the text shows, and those after it: the end of a sequence is one."""
    count = len(entries)
    while count and not entries[count - 1]["bytes"]:
        count -= 1
    return entries[:count], entries[count:]
