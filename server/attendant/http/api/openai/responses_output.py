"""The items of a response as its parts come, and the events that tell of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from attendant.core.chat import ToolCallDelta
from attendant.http.api.openai.objects import new_id

Said = dict[str, Any]
"""An event without its number."""


class Output:
    """What the model thought, said and called, in the order in which it came.

    Args:
        as_summary: what was thought is told as a summary.

    Attributes:
        items: of the response; the last one may be open.
    """

    def __init__(self, *, as_summary: bool) -> None:
        self.items: list[dict[str, Any]] = []
        self._as_summary = as_summary
        self._open = ""
        self._call = -1

    def think(self, text: str) -> Iterator[Said]:
        """New text that is thought."""
        if self._open != "reasoning":
            yield from self.close()
            item: dict[str, Any] = {"id": new_id("rs_"), "type": "reasoning", "summary": [], "encrypted_content": None}
            yield from self._begin("reasoning", item if self._as_summary else {**item, "content": []})
            part = {"type": "summary_text" if self._as_summary else "reasoning_text", "text": ""}
            yield from self._begin_part(part, "summary" if self._as_summary else "content")
        self._part["text"] += text
        kind = "reasoning_summary_text" if self._as_summary else "reasoning_text"
        yield {"type": f"response.{kind}.delta", **self._place(), "delta": text}

    def say(self, text: str, logprobs: list[dict[str, Any]]) -> Iterator[Said]:
        """New text that is said, and its log-probabilities."""
        if self._open != "message":
            yield from self.close()
            yield from self._begin(
                "message", {"id": new_id("msg_"), "type": "message", "role": "assistant", "content": []}
            )
            yield from self._begin_part(
                {"type": "output_text", "text": "", "annotations": [], "logprobs": []}, "content"
            )
        self._part["text"] += text
        self._part["logprobs"] += logprobs
        yield {"type": "response.output_text.delta", **self._place(), "delta": text, "logprobs": logprobs}

    def call(self, piece: ToolCallDelta) -> Iterator[Said]:
        """New text of a call of a function."""
        if piece.index != self.open_call:
            yield from self.close()
            item = {"id": new_id("fc_"), "type": "function_call", "call_id": piece.id, "name": piece.name}
            self._call = piece.index
            yield from self._begin("function_call", {**item, "arguments": ""})
        if piece.arguments:
            self._item["arguments"] += piece.arguments
            yield {
                "type": "response.function_call_arguments.delta",
                **self._place(part=False),
                "delta": piece.arguments,
            }

    def close(self, status: str = "completed") -> Iterator[Said]:
        """The open item is all there."""
        if not self._open:
            return
        match self._open:
            case "message":
                text, logprobs = self._part["text"], self._part["logprobs"]
                yield {"type": "response.output_text.done", **self._place(), "text": text, "logprobs": logprobs}
                yield {"type": "response.content_part.done", **self._place(), "part": self._part}
            case "function_call":
                told = {"name": self._item["name"], "arguments": self._item["arguments"]}
                if not _is_json(told["arguments"]):  # it was cut, or comes as text
                    status = "incomplete"
                yield {"type": "response.function_call_arguments.done", **self._place(part=False), **told}
            case "reasoning":
                text, summary = self._part["text"], self._as_summary
                kind = "reasoning_summary_text" if summary else "reasoning_text"
                yield {"type": f"response.{kind}.done", **self._place(), "text": text}
                part = "reasoning_summary_part" if summary else "content_part"
                yield {"type": f"response.{part}.done", **self._place(), "part": self._part}
        self._item["status"] = status
        yield {"type": "response.output_item.done", "output_index": len(self.items) - 1, "item": self._item}
        self._open = ""

    @property
    def speaks(self) -> bool:
        """Whether the open item is text that is said."""
        return self._open == "message"

    @property
    def open_call(self) -> int | None:
        """Index of the call that is the open item; None where that is another."""
        return self._call if self._open == "function_call" else None

    @property
    def _item(self) -> dict[str, Any]:
        return self.items[-1]

    @property
    def _part(self) -> dict[str, Any]:
        return self._item["summary" if self._open == "reasoning" and self._as_summary else "content"][0]  # type: ignore[no-any-return]

    def _begin(self, kind: str, item: dict[str, Any]) -> Iterator[Said]:
        self._open = kind
        self.items.append({**item, "status": "in_progress"})
        yield {"type": "response.output_item.added", "output_index": len(self.items) - 1, "item": _copy(self._item)}

    def _begin_part(self, part: dict[str, Any], where: str) -> Iterator[Said]:
        self._item[where].append(part)
        kind = "reasoning_summary_part" if where == "summary" else "content_part"
        yield {"type": f"response.{kind}.added", **self._place(), "part": _copy(part)}

    def _place(self, *, part: bool = True) -> dict[str, Any]:
        place: dict[str, Any] = {"item_id": self._item["id"], "output_index": len(self.items) - 1}
        if not part:
            return place
        summary = self._open == "reasoning" and self._as_summary
        return place | {"summary_index" if summary else "content_index": 0}


def _is_json(text: str) -> bool:
    try:
        json.loads(text or "{}")
    except (ValueError, RecursionError):
        return False
    return True


def _copy(item: dict[str, Any]) -> dict[str, Any]:
    """An item as it is now: what it has comes after."""
    return {name: list(value) if isinstance(value, list) else value for name, value in item.items()}
