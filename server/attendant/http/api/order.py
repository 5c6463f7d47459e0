"""In which order the parts of a delta are told where each kind of them stands in a place of its own."""

from __future__ import annotations

from attendant.core.chat import ToolCallDelta
from attendant.core.generation import Delta

Calls = tuple[ToolCallDelta, ...]


def calls_around_text(delta: Delta, open_call: int | None) -> tuple[Calls, Calls]:
    """The pieces of tool calls that come before a delta's reasoning and text, and those that come after them.

    What goes on with the open call comes before. A reader who waits gets the end of a call and a text in one delta
    where the call turns out to be none that can be read: its text follows what was told of it.

    Args:
        open_call: index of the call that was told last; None where that was something else.
    """
    before = tuple([call for call in delta.tool_calls if call.index == open_call])
    return before, tuple([call for call in delta.tool_calls if call.index != open_call])
