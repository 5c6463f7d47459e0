"""The patterns of tokenizers: those that may take time without bounds are not served, and one that gives up is told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tokenizers import Tokenizer

from attendant.core.errors import InvalidRequest

_UNBOUNDED = re.compile(r"[*+]|\{[0-9]+,\}")


@contextmanager
def matching(field: str) -> Iterator[None]:
    """Around what has a tokenizer read texts. Raises InvalidRequest: its pattern gave up on one, after ten million
    tries; the library panics then."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        why = "takes too many tries of a pattern of this model's tokenizer; allowed: text that takes fewer"
        raise InvalidRequest(field, why) from None


def patterns(tokenizer: Tokenizer) -> Iterator[str]:
    """Every regular expression that a tokenizer has texts matched with."""
    for part in (tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.decoder):
        if part is not None:
            yield from _within(json.loads(part.__getstate__()))


def is_unbounded(pattern: str) -> bool:
    """Whether an expression repeats, without a bound, a group that itself repeats without a bound or has alternatives:
    the ways to match a text so are as many as its parts have subsets."""
    groups: list[bool] = [False]  # of each open one, whether it may match a text in several ways
    at, within = 0, 0
    while at < len(pattern):
        mark, width = pattern[at], 1
        if mark == "\\":
            width = 2
        elif within or mark == "[":
            within += (mark == "[") - (mark == "]" and pattern[at - 1] != "[")
        elif mark == "(":
            groups.append(False)
        elif mark == ")" and len(groups) > 1:
            several = groups.pop()
            at += 1
            repeats = _UNBOUNDED.match(pattern, at)
            if repeats and pattern[repeats.end() : repeats.end() + 1] != "+" and several:
                return True
            groups[-1] |= bool(repeats) or several
            at += len(repeats.group()) if repeats else 0
            continue
        elif mark == "|":
            groups[-1] = True
        elif (repeats := _UNBOUNDED.match(pattern, at)) is not None:
            groups[-1] = True
            width = len(repeats.group())
            width += pattern[at + width : at + width + 1] in ("+", "?")
        at += width
    return False


def _within(value: Any) -> Iterator[str]:
    """Expressions of a tokenizer's part, as its file has them."""
    if isinstance(value, dict):
        if isinstance(value.get("Regex"), str):
            yield value["Regex"]
        for each in value.values():
            yield from _within(each)
    elif isinstance(value, list):
        for each in value:
            yield from _within(each)
