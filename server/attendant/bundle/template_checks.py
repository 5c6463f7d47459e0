"""What is looked at before a template's operators, methods and filters do their work: how much they would make."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from attendant.bundle.template_budget import Budget, TooMuch

_MOST_BITS = 2**14  # of a whole number
_MOST_WIDTH = 1000
_MOST_TRIES = 2**28  # of finding one text in another from the right, and of stripping
_FORMAT_WIDTH = re.compile(r"[*]|[0-9]{4}")
_NESTED = re.compile(r"\{[^{}]*\{")


def product(budget: Budget, left: Any, right: Any) -> int:
    """Characters of a product, at most."""
    if isinstance(left, int) and isinstance(right, int):
        check_bits(left.bit_length() + right.bit_length())
        return 0
    number, value = (left, right) if isinstance(left, int) else (right, left)
    return max(0, number) * budget.weigh(value) if isinstance(number, int) else 0


def check_bits(bits: int) -> None:
    """See that a whole number has no more bits than templates may make. Raises TooMuch."""
    if bits > _MOST_BITS:
        raise TooMuch(f"it makes a number of {bits} bits; allowed: at most {_MOST_BITS}")


def _check_width(*numbers: Any) -> None:
    for number in numbers:
        if isinstance(number, int) and abs(number) > _MOST_WIDTH:
            raise TooMuch(f"it asks for a width of {number}; allowed: at most {_MOST_WIDTH}")


def check_percent(budget: Budget, text: str, values: Any) -> None:
    """See that a text with values in it, as % puts them there, is not too large. Raises TooMuch."""
    if "%" in text:
        if _FORMAT_WIDTH.search(text):
            raise TooMuch("it has a text for % with a width of its own; allowed: of three digits")
        budget.room(len(text) + text.count("%") * (budget.weigh(values) + _MOST_WIDTH))


def _check_format(budget: Budget, text: str, values: Any) -> None:
    if _FORMAT_WIDTH.search(text) or _NESTED.search(text):
        raise TooMuch("it has a text for format() with a width of its own; allowed: of three digits")
    budget.room(len(text) + text.count("{") * (budget.weigh(values) + _MOST_WIDTH))


def _check_replaced(budget: Budget, text: str, old: Any, new: Any) -> None:
    old, new = str(old), str(new)
    if len(new) > len(old):
        budget.room(len(text) + text.count(old) * len(new))


def check_method(budget: Budget, text: str, name: str, args: Any, kwargs: Mapping[str, Any]) -> None:
    """See that a method of a text makes no value that is too large, and takes no time without bounds."""
    budget.step(1 + len(text) // 2**14)
    if name in ("center", "ljust", "rjust", "zfill", "expandtabs"):
        _check_width(*args, *kwargs.values())
        if name == "expandtabs":
            budget.room(len(text) + text.count("\t") * int(next(iter((*args, *kwargs.values())), 8)))
    elif name == "replace" and len(args) > 1:
        _check_replaced(budget, text, args[0], args[1])
    elif name == "join" and args and hasattr(args[0], "__len__"):
        budget.room(budget.weigh(args[0]) + len(args[0]) * len(text))
    elif name == "join":
        raise TooMuch("it joins what has no length; allowed: lists and tuples, or the filter join")
    elif name in ("format", "format_map"):
        _check_format(budget, text, [*args, kwargs])
    elif name in ("rfind", "rindex", "rpartition", "rsplit", "strip", "lstrip", "rstrip"):
        _check_tries(text, *args)


def _check_tries(text: str, *args: Any) -> None:
    tries = len(text) * max([len(each) for each in args if isinstance(each, str)], default=0)
    if tries > _MOST_TRIES:
        raise TooMuch(f"it looks for a long text in a long one, which takes up to {tries} tries")


def _check_indent(budget: Budget, args: list[Any], kwargs: Mapping[str, Any]) -> None:
    width = args[1] if len(args) > 1 else kwargs.get("width", 4)
    _check_width(width)
    text = str(args[0])
    budget.room(len(text) + (text.count("\n") + 1) * (len(width) if isinstance(width, str) else abs(int(width))))


def _check_join(budget: Budget, args: list[Any], kwargs: Mapping[str, Any]) -> None:
    between = str(args[1] if len(args) > 1 else kwargs.get("d", ""))
    if len(between) > 64:  # what is joined has no length, maybe, and as many values as a list may have
        size = len(args[0]) if hasattr(args[0], "__len__") else budget.most // 16
        budget.room(size * len(between))


def _check_sum(budget: Budget, args: list[Any], kwargs: Mapping[str, Any]) -> None:
    if not isinstance(args[2] if len(args) > 2 else kwargs.get("start", 0), (int, float)):
        raise TooMuch("it sums up what is no number")


def _check_replace(budget: Budget, args: list[Any], kwargs: Mapping[str, Any]) -> None:
    values = [*args, *kwargs.values()]
    if len(values) > 2:
        _check_replaced(budget, *(str(each) for each in values[:3]))


FILTERS: Mapping[str, Callable[[Budget, list[Any], Mapping[str, Any]], None]] = {
    "batch": lambda budget, args, kwargs: _check_width(*args[1:], *kwargs.values()),
    "center": lambda budget, args, kwargs: _check_width(*args[1:], *kwargs.values()),
    "format": lambda budget, args, kwargs: check_percent(budget, str(args[0]), [*args[1:], kwargs]),
    "indent": _check_indent,
    "join": _check_join,
    "replace": _check_replace,
    "round": lambda budget, args, kwargs: _check_width(*args[1:], *kwargs.values()),
    "slice": lambda budget, args, kwargs: _check_width(*args[1:], *kwargs.values()),
    "sum": _check_sum,
    "tojson": lambda budget, args, kwargs: _check_width(*args[1:], *kwargs.values()),
    "trim": lambda budget, args, kwargs: _check_tries(str(args[0]), *args[1:], *kwargs.values()),
}
"""By filter. Called with its values, without what jinja hands over itself."""
