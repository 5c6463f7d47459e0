"""Where an answer goes on in a rendered conversation: at the end of the last message, and not after it.

A mark is put behind the text to be continued; what the template writes from the mark on is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_MARK = "CONTINUE_FINAL_MESSAGE_TAG "
"""The space at its end shows whether the template keeps spaces at the end of a message. The word is the one of
transformers: a template can change a text by what is in it."""

_THOUGHT = ("reasoning_content", "thinking")
"""Keys that have the same text: a template knows one of them."""


class ContinuesNot(Exception):
    """The last message cannot be continued; says why."""


def marked(turns: list[dict[str, Any]], key: str, source: str) -> str:
    """The text that the answer goes on with. The last of ``turns`` gets a mark behind it, in its place.

    Args:
        key: of the last message that has this text. source: of the template.

    Raises:
        ContinuesNot: there is no such text, or the template does not look at it.
    """
    last = turns[-1] = dict(turns[-1])
    text = last.get(key)
    if text is None:
        raise ContinuesNot(f"is set, and the last message has no {key}")
    keys = [each for each in _THOUGHT if last.get(each) == text] if key in _THOUGHT else [key]
    if not any(each in source for each in keys):
        raise ContinuesNot(f"is set, and the chat template does not look at the {key} of messages")
    if isinstance(text, Sequence) and not isinstance(text, str):
        parts = last[key] = list(text)
        place = next((place for place in reversed(range(len(parts))) if "text" in parts[place]), None)
        if place is None:
            raise ContinuesNot(f"is set, and the {key} of the last message has no text")
        goes_on = str(parts[place]["text"])
        parts[place] = {**parts[place], "text": goes_on + _MARK}
        return goes_on
    last.update((each, text + _MARK) for each in keys)
    return str(text)


def cut_at(text: str, goes_on: str) -> str:
    """A rendered conversation up to the end of the text that the answer goes on with.

    Raises:
        ContinuesNot: the template has left it out.
    """
    mark = _MARK.strip()
    if goes_on.strip() not in text or mark not in text:
        raise ContinuesNot("is set, and the chat template leaves out the last message, or a part of it")
    place = text.rindex(mark)
    kept = text[:place]
    return kept if text.startswith(_MARK, place) else kept.rstrip()
